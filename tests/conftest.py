"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports ultralytics: no network, no installs by itself.
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Pictures with labels and a stock checkpoint that lie beside the checkout; the project never ships them."""
    folder = ROOT.parent / "shared"
    if not (folder / "weights" / "yolov8n.pt").is_file():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder
