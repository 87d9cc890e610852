"""A figure's recipe: everything that makes the same figure again, and the sums that show whether it is the same.

A recipe is JSON: the figure's kind and arguments, picture, weights, settings, versions and device, and the SHA-256 of
every array behind the figure as numpy's .npy bytes. A small picture of a visitor is inside it, without loss.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from dlka import render
from dlka.inference.arithmetic import arithmetic
from dlka.models.catalog import find
from dlka.models.checkpoint import sha256
from dlka.ui.figure_type import Figure
from dlka.ui.session import Look
from dlka.versions import versions as versions_of

FORMAT = "dlka-recipe-1"
LARGEST = 2 * 2**20  # bytes of a picture inside a recipe; of a larger one only the sums
PACKAGES = ("torch", "torchvision", "ultralytics", "numba", "numpy", "opencv-python", "matplotlib")


def recipe_of(look: Look, kind: str, arguments: dict[str, Any], made: Figure) -> dict[str, Any]:
    """The recipe of a figure that was drawn from a look, JSON-ready."""
    settings = look.settings
    return {
        "format": FORMAT,
        "figure": {"kind": kind, "arguments": arguments},
        "caption": made.caption,
        "picture": _picture(look),
        "weights": {side: weights(getattr(settings, side)) for side in ("dlka", "baseline")},
        "settings": asdict(settings),
        "arrays": sums(made.arrays),
        "versions": versions(),
        "device": look.dlka.device,
        "arithmetic": arithmetic(),
    }


def sums(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Shape, type and SHA-256 of every array, the last of its .npy bytes."""
    return {
        name: {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": hashlib.sha256(npy(array)).hexdigest()}
        for name, array in arrays.items()
    }


def npy(array: np.ndarray) -> bytes:
    """An array as numpy's .npy file, in C order: the same bytes wherever it comes from."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as one .npz file; "/" in a name stays."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def pixels_sha256(image: np.ndarray) -> str:
    """The SHA-256 of a decoded picture [H, W, 3] uint8: of its .npy bytes, so that its size counts."""
    return hashlib.sha256(npy(image)).hexdigest()


def weights(model: str) -> dict[str, str]:
    """A model's id and the SHA-256 of its weights file."""
    return {"id": model, "sha256": sha256(find(model))}


def versions() -> dict[str, str]:
    """Of what computes and draws."""
    return versions_of(PACKAGES)


def _picture(look: Look) -> dict[str, Any]:
    height, width = look.image.shape[:2]
    told: dict[str, Any] = {"height": height, "width": width, "pixels_sha256": pixels_sha256(look.image)}
    if look.source is not None:
        told |= {"file": look.source.name, "sha256": look.source.sha256, "example": look.source.example}
    if not told.get("example"):
        data = cv2.imencode(".png", look.image[..., ::-1])[1].tobytes()
        if len(data) <= LARGEST:
            told["png"] = base64.b64encode(data).decode()
    return told


def files(made: Figure, recipe: dict[str, Any]) -> dict[str, bytes]:
    """Everything about a figure by the ending of its file: drawing (svg, pdf, png), numbers, caption, recipe."""
    return {form: write(made, recipe) for form, write in WRITERS.items()}


WRITERS: dict[str, Any] = {
    "svg": lambda made, recipe: made.paper.to_svg(made.caption),
    "pdf": lambda made, recipe: made.paper.to_pdf(made.caption),
    "png": lambda made, recipe: render.png(made.paper.to_array()),
    "npz": lambda made, recipe: npz(made.arrays),
    "txt": lambda made, recipe: f"{made.caption}\n".encode(),
    "recipe.json": lambda made, recipe: json.dumps(recipe, indent=1).encode(),
}
