"""A recipe read from a file, which may be anybody's: every part is of its type before anything is done with it."""

from __future__ import annotations

import base64
import binascii
import json
import stat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dlka.errors import short
from dlka.images import read_image
from dlka.ui.examples import examples
from dlka.ui.figure_recipe import FORMAT
from dlka.ui.session import Refused, Settings
from dlka.ui.source import Source, source_of

MOST = 16 * 2**20  # bytes of a recipe that is read


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


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
    """What a recipe says, as figure_recipe.recipe_of writes it."""

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
    """A recipe from a file. Raises Refused for what is none, and OSError for a file that cannot be read."""
    path = Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # before opening: a named pipe would wait for its writer
        raise Refused(f"{path.name}: expected a recipe's file, got a folder or device.")
    if status.st_size > MOST:
        raise Refused(f"{path.name}: expected a recipe of at most {MOST >> 20} MB, got {status.st_size >> 20} MB.")
    data = path.read_bytes()
    try:
        recipe = json.loads(data)
    except (ValueError, RecursionError):  # no JSON, no Unicode, numbers of more than 4300 digits; lists in lists in ...
        recipe = None
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        raise Refused(f"{path.name}: expected a recipe of a figure (JSON of format {FORMAT}).")
    try:
        return RecipeFile(**recipe).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        part, *inner = first["loc"]
        if part == "settings" and inner:
            raise Refused(f"Recipe: its setting {inner[0]!r} is missing or damaged: {_got(first)}.") from None
        where = f" at {'.'.join(map(str, inner))!r:.60}" if inner else ""
        raise Refused(f"{path.name}: its part {part!r} is missing or damaged{where}: {_got(first)}.") from None


def settings_of(recipe: dict[str, Any]) -> Settings:
    """The settings of a recipe that was read; whether there is such a comparison is for the comparison to say."""
    return Settings(**recipe["settings"] | {"classes": tuple(recipe["settings"]["classes"])})


def picture_of(recipe: dict[str, Any], file: str | Path | None = None) -> tuple[np.ndarray, Source]:
    """The picture of a recipe [H, W, 3] uint8, and where it is from: a file, or the recipe itself, or an example.

    Raises Refused where there is none of the three, and whatever read_image raises. No other file is ever read.
    """
    said = recipe["picture"]
    if file is None and said["example"] in examples():
        file = examples()[said["example"]]
    if file is not None:
        pixels = read_image(file)
        return pixels, source_of(file)
    if said["png"] is not None:
        try:
            data = base64.b64decode(said["png"], validate=True)
        except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
            raise Refused("Recipe: the picture inside it is damaged; give the picture with --image FILE.") from None
        return read_image(data), Source(said["file"], said["sha256"])
    raise Refused("Recipe: its picture is not inside it and no example; give the picture with --image FILE.")


def _got(error: Any) -> str:
    return "nothing is there" if error["type"] == "missing" else f"got {short(error['input'])}"
