"""The page's address: what its query string says about the comparison that is shown, and what can be read from one.

    ?example=Bus stop&model=head&baseline=control&strength=1&tab=See&stage=P3 composed&cell=37,29

What it does not say is what suits what it says: an example brings its models, a model an example that it knows.

A readable query string and nothing on the server, so that a link lives as long as the page. Other settings stand in it
where they are not the page's own; a visitor's own picture cannot. An address is a stranger's text and is checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from dlka import render
from dlka.analysis.analysis import Analysis, Settings
from dlka.analysis.examples import examples, first
from dlka.analysis.models import SIZES, baseline_models, dlka_models
from dlka.analysis.suited import opening, settings_for
from dlka.errors import DlkaError
from dlka.models.catalog import baseline_of, cards, input_size, subject_of
from dlka.ui import files
from dlka.ui.toolkit import gr

LONGEST = 4000  # characters
# Tabs of links that were made before these became one.
FORMER = {**dict.fromkeys(("Probe", "Compare", "Offsets", "Attention"), "See"), "Boxes": "Objects"}
NAMES = {"dlka": "model"}  # settings whose name in the address is another one
KEYS = ("example", *(NAMES.get(f.name, f.name) for f in fields(Settings)), "tab", "stage", "cell")
Cell = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """What an address asks for, with defaults for what it does not say or says wrongly.

    stage: label of a stage or of a composed view; cell: (row, column) on its map; both are checked by `place`.
    wrong: what is wrong with the address, in a few words each.
    """

    example: str
    settings: Settings
    tab: str | None = None
    stage: str | None = None
    cell: Cell | None = None
    wrong: tuple[str, ...] = ()


def build_link(first: Analysis) -> gr.HTML:
    """What keeps the browser's address up to date, and the button that copies it, for a first analysis.

    What the server sends as its value goes into the browser's address: a part of a query string, in which a key without
    a value leaves the address. Where the page is opened with an address of its own, the component's value is that query
    string and it submits.
    """
    return gr.HTML(
        encode(first),
        html_template=files.read("link/link.html"),
        js_on_load=files.read("link/link.js"),
        keys=json.dumps(KEYS),
        elem_id="link",
    )


def encode(analysis: Analysis) -> str:
    """The query string of a comparison; what has no value is to leave the address, as the cell of another one."""
    default, fits = Settings(), input_size(analysis.cards[0], *analysis.image.shape[:2])
    parts = {"example": analysis.source.example if analysis.source else None}
    for field in fields(Settings):
        value = getattr(analysis.settings, field.name)
        usual = fits if field.name == "size" else getattr(default, field.name)
        stands = field.name in ("dlka", "baseline", "strength") or value != usual
        text = "|".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
        parts[NAMES.get(field.name, field.name)] = text if stands else None
    return urlencode({key: value or "" for key, value in parts.items()} | {"cell": ""})


def encode_place(stage: str | None, cell: Cell | None) -> str:
    """The part of a query string that names a stage and a cell (row, column) of it."""
    return urlencode({"stage": stage or "", "cell": f"{cell[0]},{cell[1]}" if cell else ""})


def decode(query: str, tabs: Sequence[str]) -> Asked:
    """What a query string asks for. tabs: the names of the page's tabs. Nothing in it is an error: see Asked.wrong."""
    wrong: list[str] = []
    given = _given(query, wrong)

    def take(key: str, default: Any, read: Callable[..., Any], *known: Any) -> Any:
        """The value of a key, or the default where it is missing or cannot be read: then `read` says what can be."""
        if key not in given:
            return default
        try:
            return read(given[key], *known)
        except DlkaError as error:
            wrong.append(f"{key} {given[key]!r:.60}{error}")
            return default

    example = take("example", None, _one_of, list(examples()))
    default = settings_for(example or opening())
    known = cards()
    dlka = take("model", default.dlka, _one_of, dlka_models())
    fitting = baseline_of(dlka) or default.baseline
    example = example or (opening() if dlka == default.dlka else first(subject_of(known[dlka].names)))
    baseline = take("baseline", fitting, _one_of, baseline_models())
    if known[dlka].names != known[baseline].names:
        wrong.append(f"baseline {baseline!r}, which knows other classes than {dlka}")
        baseline = fitting
    settings = Settings(
        dlka=dlka,
        baseline=baseline,
        confidence=take("confidence", default.confidence, _number, 0.01, 0.95),
        iou=take("iou", default.iou, _number, 0.1, 0.95),
        size=int(take("size", default.size, _one_of, list(map(str, SIZES)))),
        classes=take("classes", default.classes, _some_of, list(known[dlka].names.values())),
        strength=take("strength", default.strength, _number, 0, 2),
    )
    return Asked(
        example=example,
        settings=settings,
        tab=take("tab", None, lambda text: _one_of(FORMER.get(text) or text, tabs)),
        stage=given.get("stage"),
        cell=take("cell", None, _cell),
        wrong=tuple(wrong),
    )


def place(analysis: Analysis, asked: Asked) -> tuple[Asked, tuple[float, float] | None]:
    """What a finished analysis makes of the stage and the cell that were asked for.

    Returns the same with only what there is, and the centre of the cell as (x, y) in pixels of the picture; None where
    nothing fitting was asked for.
    """
    wrong, stage, cell = list(asked.wrong), asked.stage, asked.cell
    where: tuple[float, float] | None = None
    if stage is None:
        if cell:
            wrong.append("a cell without its stage")
    elif stage not in analysis.views:
        wrong.append(f"stage {stage!r:.60} (there are {', '.join(analysis.views) or 'none in this model'})")
        stage = None
    elif cell:
        centres = render.cell_centres(analysis.views[stage][-1], analysis.dlka.letterbox)  # [H, W, 2]
        rows, columns = centres.shape[:2]
        if cell[0] < rows and cell[1] < columns:
            where = float(centres[cell][0]), float(centres[cell][1])
        else:
            wrong.append(f"cell {cell[0]},{cell[1]} (rows to {rows - 1} and columns to {columns - 1} there)")
    return replace(asked, stage=stage, cell=cell if where else None, wrong=tuple(wrong)), where


def complaint(asked: Asked) -> str:
    """One sentence on what is wrong with an address; empty where nothing is."""
    if not asked.wrong:
        return ""
    return f"The page shows its own choice where the address names what is not here: {'; '.join(asked.wrong)}."


def _given(query: str, wrong: list[str]) -> Mapping[str, str]:
    found: dict[str, list[str]] | None = None
    if isinstance(query, str) and len(query) <= LONGEST:  # a program may send anything
        with suppress(ValueError):  # more values than that
            found = parse_qs(query.removeprefix("?"), max_num_fields=60)
    if found is None:
        wrong.append(f"more than {LONGEST} characters or 60 values")
        return {}
    return {key: values[-1] for key, values in found.items() if key in KEYS}


def _one_of(text: str, known: Sequence[str]) -> str:
    if text not in known:
        few = known if len(known) <= 5 else [*known[:3], "..."]
        raise DlkaError(f" (there are {', '.join(few)})")
    return text


def _some_of(text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = text.split("|") if "|" in text or text in known else text.split(",")
    return tuple(_one_of(name, known) for name in dict.fromkeys(names))


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DlkaError(f" (a number from {low:g} to {high:g})")
    return value


def _cell(text: str) -> Cell:
    parts = text.split(",")
    if len(parts) != 2 or not all(p.isascii() and p.isdecimal() and len(p) < 6 for p in parts):
        raise DlkaError(" (row,column, from 0)")
    return int(parts[0]), int(parts[1])
