"""The models that can be chosen by name: the weights files in the project's weights folder."""

from __future__ import annotations

from pathlib import Path

from dlka.models.weights import WeightsRefused

WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights"
OFFICIAL = "yolov8n"  # Ultralytics' own weights, there only once the user has fetched them


def available() -> dict[str, Path]:
    """Model id -> weights file, for example "neck" -> weights/neck.safetensors, sorted by id."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def find(model: str) -> Path:
    """The weights file of a model id, or of a path that ends in .safetensors. Raises WeightsRefused."""
    known = available()
    if model in known:
        return known[model]
    if Path(model).suffix:
        return Path(model)
    hint = f"; get it with: python -m dlka fetch {OFFICIAL}" if model == OFFICIAL else ""
    raise WeightsRefused(f"model: expected one of {', '.join(known)} or a .safetensors file, got {model!r}{hint}.")
