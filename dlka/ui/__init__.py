"""The page: the only importer of gradio. The switches are read by gradio when it is imported: nothing calls home."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
