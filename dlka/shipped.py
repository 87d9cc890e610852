"""Where weights and assets are: beside the package in a checkout, inside it once it is installed (pyproject.toml)."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HOME = _PACKAGE if (_PACKAGE / "weights").is_dir() else _PACKAGE.parent
WEIGHTS, ASSETS = _HOME / "weights", _HOME / "assets"
