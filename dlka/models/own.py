"""Models of somebody's own beside the project's: those that an operator names, and those that a visitor brings.

A checkpoint is converted without running anything of it; nothing is written into the weights folder.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from dlka import temporary
from dlka.errors import DlkaError
from dlka.models.build import build_model
from dlka.models.catalog import ADDED, GUESTS, PATTERN, RIGID, baseline_of, cards
from dlka.models.checkpoint import convert
from dlka.models.placements import PLAIN
from dlka.models.weights import Card, load_card, load_model, save_weights

MOST = 16  # files of visitors; with one more the oldest goes
LONGEST = 40  # characters of a visitor's file name that stand in the id of its model
KINDS = (".safetensors", ".pt")
WHAT = "expected a .safetensors file or a .pt checkpoint"


def add(path: str | Path) -> str:
    """Let a model be chosen by name beside the project's own: a .safetensors file, a .pt checkpoint, or a folder, whose
    .safetensors files are there as soon as they appear in it.

    Returns the model's id, the file's stem; of a folder its name. Raises DlkaError for what is neither, for an id that
    is taken, and for a file that is no model.
    """
    path = Path(path)
    found = sorted(path.glob(PATTERN)) if path.is_dir() else [path]
    for file in found:
        if file.stem in cards():
            raise DlkaError(f"{file}: there is a model {file.stem} already; give this file another name.")
    if path.is_dir():
        ADDED.append(path)
        return path.name
    if not path.is_file() or path.suffix.lower() not in KINDS:
        raise DlkaError(f"{path}: {WHAT}, or a folder of .safetensors files.")
    if path.suffix != KINDS[0]:
        path = _weights(path, path.stem)
    card = load_card(path)
    ADDED.append(path)
    if _alone(path.stem, card):
        ADDED.append(_rigid(path, path.stem))
    return path.stem


def added() -> bool:
    """Whether there are folders whose models may become more while the page runs."""
    return any(path.is_dir() for path in ADDED)


def bring(path: str | Path) -> list[str]:
    """Take in what a visitor sent. Returns the ids by which it can be chosen: of the model, and where it moves taps and
    nothing stands beside it, of the same weights without offsets.

    Raises DlkaError for what is no model.
    """
    path = Path(path)
    model = f"{path.stem[:LONGEST]}-{secrets.token_hex(4)}"
    file = _weights(path, model)
    GUESTS[model] = file
    new = [model]
    if _alone(model, cards()[model]):
        new.append(f"{model}{RIGID}")
        GUESTS[new[1]] = _rigid(file, model)
    for oldest in list(GUESTS)[:-MOST]:
        temporary.remove(GUESTS.pop(oldest))
    return new


def _alone(model: str, card: Card) -> bool:
    """Whether a model that moves taps has nothing that it can be compared with."""
    return card.placement not in PLAIN and card.offsets in ("dense", "separable") and baseline_of(model) is None


def _weights(path: Path, model: str) -> Path:
    """A file of our own with the weights of another one, under a model's id. Raises DlkaError."""
    if path.suffix.lower() not in KINDS:
        raise DlkaError(f"{path.name}: {WHAT}.")
    out = Path(temporary.write(b"", f"{model}.safetensors", kept=True))
    try:
        if path.suffix.lower() == KINDS[0]:
            out.write_bytes(path.read_bytes())
        else:
            out.unlink()  # convert writes no file that is there
            convert(path, out)
        load_model(out)  # whole: a card alone says nothing of the tensors behind it
    except Exception as error:
        temporary.remove(out)  # what is kept would never make room
        if isinstance(error, DlkaError):
            raise DlkaError(str(error).replace(out.name, path.name)) from None
        raise
    return out


def _rigid(path: Path, model: str) -> Path:
    """The file of the same weights without what makes offsets: the large kernels on their regular grid."""
    net, card = load_model(path)
    twin = build_model(card.placement, card.scale, len(card.names), "none")
    state = {name: value for name, value in net.state_dict().items() if name in twin.state_dict()}
    out = Path(temporary.write(b"", f"{model}{RIGID}.safetensors", kept=True))
    recipe = f"the weights of {model} with its offsets at zero, not trained so"
    save_weights(out, state, replace(card, offsets="none", recipe=recipe, metrics={}, uses=None))
    return out
