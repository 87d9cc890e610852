"""Whether a detector uses its offsets: AP with its own, with none and with others', and what samples follow.

The verdict, `unused`, `small` or `in use`, is made of two falls of AP: of the offsets turned off, and of the
offsets of another picture in their place. Off alone would not do: a network may need its taps moved, but always alike,
which is another fixed kernel. See `verdict`. Tables have AP and shares in per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlka.analysis.bootstrap import COMPARED, MEASURES, RESAMPLES, interval, resamples
from dlka.errors import DlkaError
from dlka.experiments.following import Following, ends_of, rounded
from dlka.experiments.measure import ON_OFFSETS, evaluated, looks
from dlka.experiments.words import NONE, figure, markdown, per_cent, points
from dlka.inference.interventions import GIVEN, Intervention
from dlka.inference.predictor import load_predictor
from dlka.inference.probe import stages
from dlka.models.catalog import find, suited_size
from dlka.models.weights import IN_USE, SMALL, UNUSED, load_card, with_card
from dlka.train.val import Validation

OWN, OFF, SHUFFLED, ANOTHER, MEAN = "own", "off", "shuffled", "another picture's", "mean field"
CHANGES = {
    OFF: ON_OFFSETS["offsets x0"],
    SHUFFLED: ON_OFFSETS["offsets shuffled"],
    ANOTHER: ON_OFFSETS["offsets of another picture"],
}
NOT_IN_CARDS = ("model", "rule", "left_out")
SHOWN = ("AP", "AP_S", "AP_M", "AP_L")
LEAST = 0.02  # AP, of 1: a fall below it is small, however certain
RULE = (
    f"in use: AP falls by {100 * LEAST:g} points or more, and its 95 % interval lies below zero, with the offsets off "
    "and with another picture's; small: one of these intervals lies below zero; unused: neither."
)


def uses(
    model: str | Path, data: str | Path, size: int | None = None, limit: int | None = None, device: str | None = None
) -> dict[str, Any]:
    """Look five times at the (first `limit`) validation pictures of `data`, and say whether a model uses its offsets.

    model: an id or a weights file; size: input in pixels, a multiple of 32, None for what suits the model
    (see suited_size). Offsets of another picture are those of the one half the list further on; the mean field gives
    every tap, at every cell, its mean over all cells and pictures. Returns what a JSON needs:

    verdict, why, rule     unused, small or in use, a sentence with the two differences behind it, and RULE
    data, pictures, objects, size, resamples
    offsets     own, off, shuffled, another picture's, mean field -> AP, AP_S, AP_M, AP_L in 0..1, of all but own also
                AP_minus_own, ... and AP_minus_own_95, ...: [low, high] by a paired bootstrap over pictures. None where
                there is no such object
    stages      how samples follow objects, a row a stage: see Following.rows
    left_out    sentences

    Raises DlkaError for a model without deform stages and data without objects, and what `measure` raises.
    """
    predictor, card = load_predictor(str(model), device)
    size = suited_size(card) if size is None else size
    if not stages(predictor.model):
        raise DlkaError(f"{model} has no deform stages, so it has no offsets that it could use.")
    part = Validation(predictor, str(model), data, size, limit)

    truth: list[dict[str, Any]] = []
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (OWN, *CHANGES, MEAN)}
    following = Following()
    sums: dict[str, tuple[np.ndarray, int]] = {}  # stage -> sum of its offsets [2K], cells
    for number, prediction, changed in looks(part, CHANGES):
        objects = part.truth(number, prediction)
        truth += objects
        boxes = np.array([row["bbox"] for row in objects], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        following.add(number, prediction.captures, prediction.letterbox.boxes_forward(boxes))
        for capture in prediction.captures:
            total, cells = sums.get(capture.stage.name, (np.zeros(len(capture.offset)), 0))
            here = capture.offset.sum(axis=(1, 2), dtype=np.float64)
            sums[capture.stage.name] = (total + here, cells + capture.offset[0].size)
        for name, seen in {OWN: prediction, **changed}.items():
            found[name] += part.found(number, seen)
    if not truth:
        raise DlkaError(f"{data}: expected labelled objects in its validation part, got none; AP needs some.")
    mean = Intervention(
        GIVEN, fields={n: (total / cells).astype(np.float32)[:, None, None] for n, (total, cells) in sums.items()}
    )
    for number in range(len(part)):
        found[MEAN] += part.found(number, part.look(number, mean))

    metrics, drawn = evaluated(part, truth, found)
    offsets: dict[str, dict[str, Any]] = {name: {m: rounded(metrics[name][m]) for m in SHOWN} for name in found}
    for name in (*CHANGES, MEAN):
        for measure in SHOWN:
            a, b, key = metrics[name][measure], metrics[OWN][measure], f"{measure}_minus_own"
            low, high = interval((drawn[name] - drawn[OWN])[:, MEASURES.index(measure)])
            offsets[name] |= {key: None, f"{key}_95": None}
            if a is not None and b is not None:
                offsets[name] |= {key: rounded(a - b), f"{key}_95": ends_of(low, high)}
    word, why = verdict(offsets)
    return {
        "model": find(str(model)).stem,
        "verdict": word,
        "why": why,
        "rule": RULE,
        "data": f"{Path(data).resolve().name} val",
        "pictures": len(part),
        "objects": len(truth),
        "size": size,
        "resamples": RESAMPLES,
        "offsets": offsets,
        "stages": following.rows(resamples(len(part))),
        "left_out": part.told,
    }


def write_uses(model: str | Path, figures: dict[str, Any]) -> Path:
    """Put the figures of `uses` into the card of the weights file that they were measured on; returns its path."""
    path = find(str(model))
    kept = {name: value for name, value in figures.items() if name not in NOT_IN_CARDS}
    with_card(path, path, replace(load_card(path), uses=kept))
    return path


def verdict(offsets: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """unused, small or in use by RULE, and why, from the "offsets" of `uses`.

    Two things are asked of `in use`, because each alone misleads. The interval must lie below zero, else the fall may
    be due to the choice of pictures; and the fall must be LEAST or more, because with many pictures the least fall is
    certain, and a network of which offsets make up so little does as well without them.
    """
    falls = {name: (offsets[name]["AP_minus_own"], offsets[name]["AP_minus_own_95"]) for name in (OFF, ANOTHER)}
    beyond = [ends is not None and ends[1] < 0 for _, ends in falls.values()]
    large = [value is not None and value <= -LEAST for value, _ in falls.values()]
    word = IN_USE if all(beyond) and all(large) else SMALL if any(beyond) else UNUSED
    told = [
        f"{points(value, ends)} {'when they are off' if name == OFF else 'with those of another picture'}"
        for name, (value, ends) in falls.items()
    ]
    return word, f"AP changes by {' and by '.join(told)}."


def offset_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for the model's own offsets, then one for each change with the differences to them and their intervals."""
    rows = []
    for name, values in figures["offsets"].items():
        row: dict[str, Any] = {"offsets": name, **{m: per_cent(values[m]) for m in SHOWN}}
        for measure in SHOWN:
            key = f"{measure}_minus_own"
            row[f"{measure} - own"] = "" if name == OWN else points(values[key], values[f"{key}_95"])
        rows.append(row)
    return rows


def following_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """How samples follow objects: a row a stage."""
    return [
        {
            "stage": row["label"],
            "objects": row["objects"],
            "rho, spread and size": rho(row, "size_rho"),
            "rho, aspects": rho(row, "aspect_rho"),
            "spread/grid, small": figure(row["spread_small"], 3),
            "large": figure(row["spread_large"], 3),
            "for box": row["in_box_objects"],
            "in box %": per_cent(row["in_box"]),
            "- grid": points(row["in_box_minus_grid"], row["in_box_minus_grid_95"]),
            "- chance": points(row["in_box_minus_chance"], row["in_box_minus_chance_95"]),
            "module": row["stage"],
        }
        for row in figures["stages"]
    ]


def changes_table(uses: Mapping[str, Any]) -> str:
    """AP with a model's own offsets and with others in their place, for its card, a difference bold where its interval
    does not include zero; uses: as a weights file has it."""
    rows = []
    for name in (OWN, OFF, SHUFFLED, ANOTHER):
        values, row = uses["offsets"][name], [name]
        for m in COMPARED:
            value, ends = (None, None) if name == OWN else (values[f"{m}_minus_own"], values[f"{m}_minus_own_95"])
            delta = "" if name == OWN else points(value, ends)
            row += [per_cent(values[m]), f"**{delta}**" if ends and ends[0] * ends[1] > 0 else delta]
        rows.append(row)
    return markdown(["offsets", *(title for m in COMPARED for title in (m, f"{m} - own"))], rows)


def following_table(uses: Mapping[str, Any]) -> str:
    """How samples follow objects, for a card."""
    rows = [
        [row["label"], rho(row, "size_rho"), figure(row["spread_small"], 2), figure(row["spread_large"], 2)]
        for row in uses["stages"]
    ]
    return markdown(["stage", "rho, spread and size", "spread/grid, smaller half", "larger half"], rows)


def rho(row: dict[str, Any], name: str) -> str:
    """A rank correlation with its interval: "+0.73 [+0.63, +0.79]"."""
    value, ends = row[name], row[f"{name}_95"]
    if value is None or ends is None:
        return NONE if value is None else f"{value:+.2f}"
    return f"{value:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"
