"""The step "The same in three dimensions": a real volume, and where the taps of the shipped network sample it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dlka.segment.judge import WITHOUT
from dlka.segment.net_file import NetCard
from dlka.segment.samples import samples
from dlka.segment.scans import read_scan
from dlka.segment.segmenter import Segmenter, shipped
from dlka.ui.segment_data import segment_value

MODEL = "hippocampus"
GATE = "spatial_gating_unit."
# What makes a gate, in its order -> what the names of its parameters begin with; the offset net lies inside the 3x3x3.
NETS = "deform_conv.conv_offset."
PARTS = {"five": "conv0.", "seven": "conv_spatial.", "nets": NETS, "three": "deform_conv.", "one": "conv1."}


@lru_cache(maxsize=1)
def _field() -> dict[str, Any]:
    sample = next(sample for sample in samples().values() if sample.model == MODEL)
    scan, segmenter = read_scan(sample.file), Segmenter.of(MODEL)
    found, card = segmenter.look(scan), segmenter.card
    value = json.loads(segment_value(scan, found, list(card.names), kept=True))
    sizes = parts(dict(segmenter.net.named_parameters()))
    more = {"credit": sample.credit, "measured": measured(card), "parts": sizes}
    return value | more


def volume_field() -> dict[str, Any]:
    """What Segment's canvas gets of a volume, whose it is, what the network's card says of its offsets, and its
    parameters. {} where the network is not there."""
    return _field() if MODEL in shipped() else {}


def parts(parameters: Mapping[str, Any]) -> dict[str, int]:
    """How many numbers a network's parameters, by name, hold: those of each of PARTS in all its gates, and the rest."""
    found = dict.fromkeys((*PARTS, "rest"), 0)
    for name, values in parameters.items():
        inside = name.partition(GATE)[2]
        found[next((part for part, begin in PARTS.items() if inside.startswith(begin)), "rest")] += values.numel()
    return found


def measured(card: NetCard) -> dict[str, Any] | None:
    """Dice in per cent by part, with the network's own offsets and with these at zero, on how many cases; None where
    its card does not say it. change: own minus zero, between: its 95 % interval over cases."""
    rows = card.scores.get("rows", [])
    if len(rows) < 2 or not rows[1]["model"].endswith(WITHOUT):
        return None
    own, zero, lead = rows[0], rows[1], card.scores["against"][0]
    told = []
    for part in card.scores["parts"]:
        change, *between = (100 * value for value in lead[part])
        dice = {"own": 100 * own[part]["dice"][0], "zero": 100 * zero[part]["dice"][0]}
        told.append({"part": part, **dice, "change": change, "between": between})
    return {"cases": card.scores["cases"], "parts": told}
