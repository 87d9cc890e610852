"""What the browser needs of a segmented scan: its cells, labels, and the offsets and gate of every deform stage."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from dlka import palette, render
from dlka.analysis.see import COLOURS, LEVELS
from dlka.segment.scans import Scan, in_file
from dlka.segment.segmenter import Segmentation, StageField
from dlka.ui import files


def segment_value(
    scan: Scan,
    seen: Segmentation,
    names: list[str],
    true: np.ndarray | None = None,
    scores: list[list[str]] | None = None,
    kept: bool = False,
) -> str:
    """JSON for the canvas: places are [z, y, x]; a picture is one slice. Files hold uint8, [D, H, W] or [H, W, 3], and
    offsets int16 [D, H, W, K, 3] in units of "unit" cells.

    names: of the classes by number; true: labels [*space] where they are known; scores: rows of the table under it;
    kept: as in `files.write`. "in_file": rows of the affines of `in_file`, of a picture none; the second one only where
    the file says where its sides are.
    """
    volume = scan.nifti is not None
    there = np.argwhere(seen.labels)
    middle = np.array(scan.space) // 2
    if len(there):  # the cell of a part that is nearest to the middle of all
        middle = there[np.abs(there - there.mean(0)).sum(1).argmin()]
    start = _deep(middle.tolist(), first=0)
    # Opened is the stage whose taps move by about a cell there: with taps far away the grid between them would be too
    # small to see.
    moved = [stage.offset[tuple(p // step for p, step in zip(start, stage.stride))] for stage in seen.stages]
    lengths = [max(float(np.linalg.norm(offset, axis=-1).mean()), 1e-9) for offset in moved]
    return json.dumps(
        {
            "kind": "volume" if volume else "picture",
            "name": scan.name,
            "size": _deep(scan.space),
            "spacing": scan.spacing if volume else (1.0, 1.0, 1.0),
            "unit": "mm" if volume else "px",
            "in_file": [affine[:3].tolist() for affine in in_file(scan)[: 1 + scan.oriented]] if volume else [],
            "start": start,
            "shown": _file(scan.shown, "scan.bin", kept),
            "found": _file(seen.labels, "labels.bin", kept),
            "true": None if true is None else _file(true, "true.bin", kept),
            "names": names,
            "colours": [palette.part_colour(number) for number in range(len(names))],
            "scores": scores,
            "strength": seen.strength,
            "stages": [_stage(stage, kept) for stage in seen.stages],
            "chosen": int(np.abs(np.log(lengths)).argmin()) if lengths else 0,
            "tables": {
                "length": render.colour_table(palette.MAGNITUDE_MAP).tobytes().hex(),
                "gate": render.colour_table(palette.ONE_SIGN_MAP).tobytes().hex(),
            },
            "weight_colours": render.hex_colours(palette.WEIGHT_MAP, COLOURS),
            "accent": palette.DLKA,
        }
    )


def _stage(stage: StageField, kept: bool) -> dict[str, Any]:
    longest = float(np.abs(stage.offset).max(initial=0))
    unit = longest / LEVELS or 1.0
    levels = np.rint(np.nan_to_num(stage.offset) / unit).astype("<i2")
    low, high = float(stage.gate.min()), float(stage.gate.max())
    gate = np.rint((stage.gate - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    return {
        "label": stage.label,
        "size": stage.offset.shape[:3],
        "stride": stage.stride,
        "reach": stage.reach,
        "kernel": stage.kernel,
        "dilation": stage.dilation,
        "unit": unit,
        "weights": (stage.weights / max(float(stage.weights.max()), 1e-12)).round(4).tolist(),
        "offsets": _file(levels, "offsets.bin", kept),
        "gate": {"low": low, "high": high, "values": _file(gate, "gate.bin", kept)},
    }


def _file(values: np.ndarray, name: str, kept: bool) -> str:
    return files.address(files.write(zlib.compress(np.ascontiguousarray(values).tobytes(), 6), name, kept))


def _deep(axes: Any, first: int = 1) -> list[int]:
    """Three axes, also of a picture."""
    return [*[first] * (3 - len(axes)), *map(int, axes)]
