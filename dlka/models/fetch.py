"""The one download of the project, done only when the user asks: the official yolov8n, through Ultralytics itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from dlka.errors import DlkaError
from dlka.models.adopt import adopt
from dlka.models.catalog import OFFICIAL, WEIGHTS

SECONDS = 900.0
# The child does not import dlka, which switches Ultralytics offline for this process.
_CHILD = "import sys; from ultralytics.utils.downloads import attempt_download_asset as get; get(sys.argv[1])"


class FetchFailed(DlkaError):
    """Weights that could not be fetched; one sentence with what to do."""


def fetch(name: str, folder: Path | None = None) -> Path:
    """Get official weights, convert them, and return the file: NAME.safetensors in the project's weights folder.

    Raises FetchFailed for any name but OFFICIAL, for a file that is there already and where the download fails;
    CheckpointRefused where what came is not the model.
    """
    if name != OFFICIAL:
        raise FetchFailed(f"fetch: expected {OFFICIAL}, the one name that can be fetched, got {name!r}.")
    out = (folder or WEIGHTS) / f"{name}.safetensors"
    if out.exists():
        raise FetchFailed(f"{out} is there already; remove it to fetch it again.")
    with TemporaryDirectory(prefix="dlka-fetch-") as temporary:
        checkpoint = download(f"{name}.pt", Path(temporary))
        adopt(checkpoint, out, data="COCO 2017 train, by Ultralytics", licence="AGPL-3.0")
    return out


def download(asset: str, folder: Path) -> Path:
    """A file of Ultralytics' releases, fetched into a folder by Ultralytics' own downloader in a child process."""
    target = folder / asset
    environment = {key: value for key, value in os.environ.items() if key != "YOLO_OFFLINE"}
    environment |= {"YOLO_AUTOINSTALL": "0", "YOLO_CONFIG_DIR": str(folder)}  # the user's settings stay untouched
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, str(target)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        reason = next((line for line in reversed(child.stderr.split("\n")) if line.strip()), "no file came").strip()
    except subprocess.TimeoutExpired:
        reason = f"it took more than {SECONDS:g} seconds"
    if not target.is_file():
        raise FetchFailed(
            f"{asset} could not be downloaded from Ultralytics ({reason:.160}); check the network and try again, or "
            f"get the file elsewhere and run: python -m dlka convert {asset} weights/{Path(asset).stem}.safetensors"
        )
    return target
