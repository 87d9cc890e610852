"""How far each deform stage moves its taps while a model is trained, on a few pictures that stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from ultralytics.utils.patches import imread

from dlka.analysis.stages import StageStats, all_stage_stats
from dlka.inference.letterbox import Letterbox
from dlka.inference.prepared import as_input
from dlka.inference.probe import probe
from dlka.types import Stage

PICTURES = 4
DEAD = 0.05  # cells; if 95 % of all offsets are below, the stage is as good as rigid
LOST = 0.25  # share; if so many more samples than the regular grid's leave the map, the stage has run away
NUMBERS = ("mean", "varies", "moved", "p95", "maximum", "outside")


def watched(files: Sequence[str]) -> list[str]:
    """PICTURES of the files, evenly spread: the ones that are looked at while a model is trained."""
    return [files[i * len(files) // PICTURES] for i in range(min(PICTURES, len(files)))]


def offset_rows(model: nn.Module, files: Sequence[str], size: int) -> list[dict[str, Any]]:
    """One row a stage, in the order they run, of a few pictures, never augmented; empty for a model without deform
    stages. size: of their longer side in pixels.

    "stage", "label", NUMBERS as in dlka.analysis.stages (lengths in cells, shares 0..1), means over the pictures
    ("maximum": the greatest), and "health" by `health_of`: "exploding" if it is on any picture, "dead" if on all.

    Draws no random number and leaves the model as it was, which must be in evaluation mode.
    """
    device = next(model.parameters()).device
    seen: list[list[StageStats]] = []
    stages: list[Stage] = []
    for file in files:
        pixels: Any = imread(file)  # BGR
        image = np.ascontiguousarray(pixels[..., ::-1])
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size)
        with torch.no_grad(), probe(model) as captures:
            model(as_input(letterbox.apply(image)[None], device))
        seen.append(all_stage_stats(captures.offsets, letterbox))
        stages = [capture.stage for capture in captures.offsets]
    return [_over_pictures(stage, stats) for stage, stats in zip(stages, zip(*seen))]


def told(row: dict[str, Any]) -> str:
    """One line for people about a row of `offset_rows`."""
    return (
        f"  {row['label']:<10} offsets {row['mean']:.3f} cells, varying by {row['varies']:.3f}, "
        f"{100 * row['moved']:.0f} % over 0.1 cell: {row['health']}  ({row['stage']})"
    )


def warnings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for the stages that are dead, and one for those that are exploding."""
    advice = {
        "dead": "as good as rigid; train longer or raise --offset-lr",
        "exploding": "reading far outside of the map; lower --offset-lr or raise --offset-warmup",
    }
    alike = {health: [row["label"] for row in rows if row["health"] == health] for health in advice}
    return [f"Warning: {', '.join(labels)}: {health}, {advice[health]}." for health, labels in alike.items() if labels]


def health_of(stage: Stage, stats: StageStats) -> str:
    """How the lengths of a stage's offsets look on one picture, for whoever trains.

    "dead": 95 % of offsets are under 0.05 cell; "exploding": over 25 points more samples than regular taps leave the
    map, or the mean offset is longer than half the kernel's extent; else "healthy", which does not say that the network
    uses them: `dlka uses` does.
    """
    if stats.p95 < DEAD:
        return "dead"
    half_extent = max((k - 1) * d / 2 for k, d in zip(stage.kernel, stage.dilation))
    runs_away = stats.outside - stats.regular_outside > LOST or stats.mean > half_extent
    return "exploding" if runs_away else "healthy"


def _over_pictures(stage: Stage, stats: Sequence[StageStats]) -> dict[str, Any]:
    healths = {health_of(stage, one) for one in stats}
    health = "exploding" if "exploding" in healths else "dead" if healths == {"dead"} else "healthy"
    means = {name: float(np.mean([getattr(one, name) for one in stats])) for name in NUMBERS}
    means["maximum"] = max(one.maximum for one in stats)
    return {"stage": stats[0].name, "label": stats[0].label, **means, "health": health}
