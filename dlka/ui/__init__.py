"""The page: the only importer of gradio.

The switches are read by gradio and by torch's thread pool when they are imported: nothing calls home, and threads that
wait sleep. Waiting threads that spin make a model on a core that is shared with others several times slower.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from dlka.ui import toolkit  # noqa: F401 - before any file of the page imports a part of gradio
