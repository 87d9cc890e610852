"""Where the files of a run lie: one folder each, the newest few of them."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from dlka.ui import files

KEPT = 8  # runs, of up to about 50 MB each

_lock = threading.Lock()
_runs: list[Path] = []


def new_folder() -> Path:
    """An empty folder that the page may serve; the oldest run makes room for it."""
    with _lock:
        made = Path(tempfile.mkdtemp(prefix="many-", dir=files.folder()))
        _runs.append(made)
        while len(_runs) > KEPT:
            shutil.rmtree(_runs.pop(0), ignore_errors=True)
    return made
