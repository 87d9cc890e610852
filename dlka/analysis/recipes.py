"""A figure's recipe, written, read and run: all that makes the same figure again, and sums that show whether it is.

A recipe is JSON: the figure's kind and arguments, picture, weights, settings, versions and device, and the SHA-256 of
every array behind the figure as numpy's .npy bytes. A small picture of a visitor is inside it, without loss.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dlka import render
from dlka.analysis.analysis import Analysis, Settings, Source, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.analysis.figures import figure
from dlka.analysis.figures.base import Drawn, Figure
from dlka.errors import DlkaError, make_folder, short
from dlka.images import read_image
from dlka.models.catalog import available, find
from dlka.models.checkpoint import sha256
from dlka.provenance import arithmetic, use_threads
from dlka.versions import versions as versions_of

FORMAT = "dlka-recipe-1"
LARGEST = 2 * 2**20  # bytes of a picture inside a recipe; of a larger one only the sums
# What computes and draws.
PACKAGES = ("torch", "torchvision", "ultralytics", "numba", "numpy", "opencv-python", "matplotlib")


def recipe_of(analysis: Analysis, figure: Figure, drawn: Drawn) -> dict[str, Any]:
    """The recipe of a figure that was drawn from an analysis, JSON-ready."""
    settings = analysis.settings
    return {
        "format": FORMAT,
        "figure": {"kind": figure.name, "arguments": asdict(figure)},
        "caption": drawn.caption,
        "picture": _picture(analysis),
        "weights": {side: weights(getattr(settings, side)) for side in ("dlka", "baseline")},
        "settings": asdict(settings),
        "arrays": sums(drawn.arrays),
        "versions": versions_of(PACKAGES),
        "device": analysis.dlka.device,
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
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # one may be called allow_pickle, mypy thinks
    return out.getvalue()


def pixels_sha256(image: np.ndarray) -> str:
    """The SHA-256 of a decoded picture [H, W, 3] uint8: of its .npy bytes, so that its size counts."""
    return hashlib.sha256(npy(image)).hexdigest()


def weights(model: str) -> dict[str, str]:
    """A model's id and the SHA-256 of its weights file."""
    return {"id": model, "sha256": sha256(find(model))}


def _picture(analysis: Analysis) -> dict[str, Any]:
    height, width = analysis.image.shape[:2]
    told: dict[str, Any] = {"height": height, "width": width, "pixels_sha256": pixels_sha256(analysis.image)}
    if analysis.source is not None:
        told |= {"file": analysis.source.name, "sha256": analysis.source.sha256, "example": analysis.source.example}
    if not told.get("example"):
        data = cv2.imencode(".png", analysis.image[..., ::-1])[1].tobytes()
        if len(data) <= LARGEST:
            told["png"] = base64.b64encode(data).decode()
    return told


# The ending of a figure's file -> its content of Drawn and recipe.
WRITERS: dict[str, Callable[[Drawn, dict[str, Any]], bytes]] = {
    "svg": lambda made, recipe: made.paper.to_svg(made.caption),
    "pdf": lambda made, recipe: made.paper.to_pdf(made.caption),
    "png": lambda made, recipe: render.png(made.paper.to_array()),
    "npz": lambda made, recipe: npz(made.arrays),
    "txt": lambda made, recipe: f"{made.caption}\n".encode(),
    "recipe.json": lambda made, recipe: json.dumps(recipe, indent=1).encode(),
}


def files(made: Drawn, recipe: dict[str, Any]) -> dict[str, bytes]:
    """Everything about a figure by the ending of its file: drawing (svg, pdf, png), numbers, caption, recipe."""
    return {form: write(made, recipe) for form, write in WRITERS.items()}


# A recipe read from a file, which may be anybody's: every part is of its type before anything is done with it.


MOST = 16 * 2**20  # bytes of a recipe that is read


class _Part(BaseModel):
    # Texts with a limit are looked at, so that half of a character, which nothing could print, is refused.
    model_config = ConfigDict(strict=True, allow_inf_nan=False, str_max_length=MOST)


class _Figure(_Part):
    kind: str
    arguments: dict[str, Any]


class _Picture(_Part):
    pixels_sha256: str = ""
    file: str = ""
    sha256: str = ""
    example: str | None = None
    png: str | None = None


class _Weights(_Part):
    id: str
    sha256: str = ""


class _Settings(_Part):
    dlka: str
    baseline: str
    confidence: float
    iou: float
    size: int
    classes: list[str]
    strength: float


class _Sum(_Part):
    shape: list[int]
    dtype: str
    sha256: str


class _Arithmetic(_Part):
    threads: int
    instructions: str | None = None


class RecipeFile(_Part):
    """What a recipe says, as recipe_of writes it."""

    figure: _Figure
    caption: str
    picture: _Picture
    weights: dict[Literal["dlka", "baseline"], _Weights]
    settings: _Settings
    arrays: dict[str, _Sum]
    versions: dict[str, str]
    device: str
    arithmetic: _Arithmetic


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A recipe from a file. Raises DlkaError for what is none, and OSError for a file that cannot be read."""
    path = Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # before opening: a named pipe would wait for its writer
        raise DlkaError(f"{path.name}: expected a recipe's file, got a folder or device.")
    if status.st_size > MOST:
        raise DlkaError(f"{path.name}: expected a recipe of at most {MOST >> 20} MB, got {status.st_size >> 20} MB.")
    data = path.read_bytes()
    try:
        recipe = json.loads(data)
    except (ValueError, RecursionError):  # no JSON, no Unicode, numbers of more than 4300 digits; lists in lists in ...
        recipe = None
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        raise DlkaError(f"{path.name}: expected a recipe of a figure (JSON of format {FORMAT}).")
    try:
        return RecipeFile(**recipe).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        part, *inner = first["loc"]
        if part == "settings" and inner:
            raise DlkaError(f"Recipe: its setting {inner[0]!r} is missing or damaged: {_got(first)}.") from None
        where = f" at {'.'.join(map(str, inner))!r:.60}" if inner else ""
        raise DlkaError(f"{path.name}: its part {part!r} is missing or damaged{where}: {_got(first)}.") from None


def picture_of(recipe: dict[str, Any], file: str | Path | None = None) -> tuple[np.ndarray, Source]:
    """The picture of a recipe [H, W, 3] uint8, and where it is from: a file, or the recipe itself, or an example.
    Raises DlkaError where there is none of the three, and whatever read_image raises. No other file is ever read."""
    said = recipe["picture"]
    if file := file or examples().get(said["example"]):
        return read_image(file), source_of(file)
    if said["png"] is not None:
        try:
            data = base64.b64decode(said["png"], validate=True)
        except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
            raise DlkaError("Recipe: the picture inside it is damaged; give the picture with --image FILE.") from None
        return read_image(data), Source(said["file"], said["sha256"])
    raise DlkaError("Recipe: its picture is not inside it and no example; give the picture with --image FILE.")


def _got(error: Any) -> str:
    return "nothing is there" if error["type"] == "missing" else f"got {short(error['input'])}"


@dataclass(frozen=True)
class Replayed:
    """A figure made again, and its own recipe; told: lines on what is the same; same: every array is, bit by bit."""

    figure: Drawn
    recipe: dict[str, Any]
    told: list[str]
    same: bool


def replay(path: str | Path, image: str | Path | None = None) -> Replayed:
    """Run a recipe again. image: the picture's file, where the recipe does not bring it and it is no example. Raises
    DlkaError or OSError, one sentence each, for a recipe, a picture or weights that cannot be used."""
    recipe = read_recipe(path)
    pixels, source = picture_of(recipe, image)
    # Whether there is such a comparison is for the comparison to say.
    settings = Settings(**recipe["settings"] | {"classes": tuple(recipe["settings"]["classes"])})
    asked = figure(recipe["figure"]["kind"], recipe["figure"]["arguments"])
    use_threads(recipe["arithmetic"]["threads"])
    analysis = analyse_pixels(pixels, settings, source)
    made = asked.drawn(analysis)
    others = list(_others(recipe, pixels_sha256(pixels), analysis.dlka.device))
    told, same = [f"Note: {other}." for other in others], True
    reason = " and ".join(others) or "other code of the same version made it, or the recipe was changed"
    now, before = sums(made.arrays), recipe["arrays"]
    for name in {**before, **now}:
        alike = before.get(name) == now.get(name)
        same &= alike
        shape = " x ".join(map(str, now[name]["shape"])) if name in now else "missing"
        told.append(f"{name:.60} [{shape}]: " + ("same" if alike else f"differs, because {reason}"))
    return Replayed(made, recipe_of(analysis, asked, made), told, same)


def write(replayed: Replayed, folder: str | Path) -> list[Path]:
    """The figure's files in a folder, which is made where it is not there; returns their paths."""
    out = Path(folder)
    make_folder(out)
    written = {out / f"figure.{form}": data for form, data in files(replayed.figure, replayed.recipe).items()}
    for path, data in written.items():
        path.write_bytes(data)
    return list(written)


def _others(recipe: dict[str, Any], pixels: str, device: str) -> Iterator[str]:
    """What is not as it was when the recipe was written."""
    if recipe["picture"]["pixels_sha256"] != pixels:
        yield "the picture has other pixels"
    for side, said in recipe["weights"].items():
        if said["id"] not in available() or weights(said["id"]) != said:
            yield f"the weights of {said['id']:.60} ({side}) are others"
    versions = {name: (recipe["versions"].get(name), now) for name, now in versions_of(PACKAGES).items()}
    if changed := [f"{name} {was!s:.20} then and {now} now" for name, (was, now) in versions.items() if was != now]:
        yield f"versions are others ({', '.join(changed)})"
    if recipe["device"] != device:
        yield f"it was made on {recipe['device']!s:.40} and now on {device}"
    was, now = recipe["arithmetic"], arithmetic()
    if was["threads"] != now["threads"]:
        yield f"sums were shared among {was['threads']} threads and are among {now['threads']}, as many as cores"
    if was["instructions"] != now["instructions"]:
        yield f"the processor's instructions were {was['instructions']!s:.40} and are {now['instructions']}"
