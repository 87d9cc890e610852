"""Volumes and pictures to start from, with their labels; assets/README.md says whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dlka.segment.scans import is_volume
from dlka.shipped import ASSETS

FOLDER = ASSETS / "segment"
LABELS = "-labels"
# What the networks that ship are made for, by the first word of their ids.
MADE_FOR = {
    "hippocampus": "the hippocampus alone, cut out of a head's MRI, about 35 x 50 x 36 voxels of 1 mm",
    "cells": "a stained white blood cell that fills most of its picture, about 120 x 120 pixels",
}
# What the file's name begins with -> what the sample is called, the network that knows it, and whose it is.
KNOWN = {
    "hippocampus": ("Hippocampus", "hippocampus", "Medical Segmentation Decathlon, Task04, CC BY-SA 4.0"),
    "cell": ("White blood cell", "cells", "Zheng et al. 2018, Jiangxi Tecom and CellaVision, GPL-3.0"),
}


@dataclass(frozen=True)
class Sample:
    """label: on the page; kind: "volume" or "picture"; model: the id of the network that knows it; credit: whose."""

    label: str
    kind: str
    file: Path
    labels: Path
    model: str
    credit: str


@lru_cache(maxsize=1)
def samples() -> dict[str, Sample]:
    """Label -> sample, volumes first."""
    found: list[Sample] = []
    for word, (name, model, credit) in KNOWN.items():
        files = sorted(p for p in FOLDER.glob(f"{word}-*") if LABELS not in p.name)
        for number, file in enumerate(files, 1):
            stem, ending = file.name.split(".", 1)
            labels = FOLDER / f"{stem}{LABELS}.{ending}"
            kind = "volume" if is_volume(file) else "picture"
            found.append(Sample(f"{name} {number}", kind, file, labels, model, credit))
    return {sample.label: sample for sample in found}
