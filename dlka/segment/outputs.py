"""What a segmented scan leaves: labels and offsets for other programs, a drawing, and the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ImageColor

from dlka.analysis.recipes import npz
from dlka.palette import part_colour
from dlka.segment.net_file import NetCard
from dlka.segment.scans import Scan, in_file, save_labels
from dlka.segment.segmenter import Segmentation, StageField
from dlka.versions import versions

OPACITY = 0.45
SIDE = 600  # pixels that slices are at least wide or tall together, by whole pixels for a voxel


def write_outputs(scan: Scan, seen: Segmentation, card: NetCard, folder: Path) -> list[str]:
    """Write into an existing folder, and return the files' paths:

    NAME-labels   NIfTI on the scan's own axes, of a picture PNG
    NAME-moved    NIfTI: mean length of the offsets of the first stage in millimetres, a value a voxel; volumes only
    NAME.png      the middle slice along every axis, or the picture, with its labels
    NAME.npz      offset, gate and tap weights of every stage, see segmenter.StageField
    NAME.json     cells and size of every part, offsets of every stage, and what made them
    """
    ending = ".png" if scan.nifti is None else ".nii.gz"
    made = [folder / f"{scan.name}-labels{ending}"]
    save_labels(scan, seen.labels, made[0])
    if scan.nifti is not None and seen.stages:
        made.append(folder / f"{scan.name}-moved.nii.gz")
        moved = lengths(seen.stages[0], scan)
        for axis, step in enumerate(seen.stages[0].stride):  # of a map's cells to the scan's
            moved = np.repeat(moved, step, axis)
        save_labels(scan, np.ascontiguousarray(moved[tuple(map(slice, scan.space))], np.float32), made[-1])
    made.append(folder / f"{scan.name}.png")
    drawn = overlay(scan, seen.labels)
    times = 1 if scan.nifti is None else -(-SIDE // max(drawn.shape))
    large = cv2.resize(drawn, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    made[-1].write_bytes(cv2.imencode(".png", large[..., ::-1])[1].tobytes())
    if seen.stages:
        made.append(folder / f"{scan.name}.npz")
        arrays: dict[str, np.ndarray] = {}
        for stage in seen.stages:
            arrays |= {f"{stage.label}/{part}": getattr(stage, part) for part in ("offset", "gate", "weights")}
        made[-1].write_bytes(npz(arrays))
    made.append(folder / f"{scan.name}.json")
    made[-1].write_text(json.dumps(numbers(scan, seen, card), indent=2), encoding="utf-8")
    return list(map(str, made))


def numbers(scan: Scan, seen: Segmentation, card: NetCard) -> dict[str, Any]:
    """Cells of every part, their size in millilitres or square pixels, how far every stage moves its taps (mean, in
    cells of its map and in millimetres or pixels), and what made them; strength: None where nothing deforms."""
    # The sides of a voxel need not stand upright on each other: of a tilted gantry's they do not.
    cell = 1.0 if scan.nifti is None else abs(float(np.linalg.det(in_file(scan)[1][:3, :3])))
    counts = np.bincount(seen.labels.ravel(), minlength=len(card.names))
    volume = scan.nifti is not None
    unit, scale = ("millilitres", 1000) if volume else ("square pixels", 1)
    of_parts = {
        name: {"cells": int(count), unit: count * cell / scale}
        for name, count in list(zip(card.names, counts.tolist()))[1:]
    }
    stages = [
        {"stage": stage.label, "mean cells": float(np.linalg.norm(stage.offset, axis=-1).mean())}
        | {"mean mm" if volume else "mean px": float(lengths(stage, scan).mean())}
        for stage in seen.stages
    ]
    made = {**seen.network, "data": card.data, "seed": card.seed, "offsets": card.offsets, "versions": versions()}
    strength = None if card.offsets == "none" else seen.strength
    return {"scan": scan.name, "strength": strength, "parts": of_parts, "stages": stages, "network": made}


def lengths(stage: StageField, scan: Scan) -> np.ndarray:
    """Mean length of the offsets of every cell of a stage's map [D, H, W], in millimetres or pixels."""
    spacing = [*[1.0] * (3 - len(scan.spacing)), *scan.spacing]
    side = np.array([step * mm for step, mm in zip(stage.stride, spacing)])
    moved: np.ndarray = np.linalg.norm(stage.offset * side, axis=-1).mean(-1)
    return moved


def overlay(scan: Scan, labels: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3]: a picture, or the slice with most labels along every axis of a volume side by side, with
    its labels in colours."""
    colours = np.array([ImageColor.getrgb(part_colour(number)) for number in range(256)], np.float32)
    if scan.nifti is None:
        return _mixed(scan.shown, labels, colours)
    slices = []
    for axis in range(3):
        at = int((labels > 0).sum(tuple(a for a in range(3) if a != axis)).argmax())
        grey = np.repeat(np.take(scan.shown, at, axis)[..., None], 3, -1)
        slices.append(_mixed(grey, np.take(labels, at, axis), colours)[::-1])  # upwards, as on the page
    tall = max(len(part) for part in slices)
    padded = [np.pad(part, ((0, tall - len(part)), (0, 4), (0, 0))) for part in slices]
    return np.ascontiguousarray(np.concatenate(padded, axis=1)[:, :-4])


def _mixed(picture: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    share = OPACITY * (labels > 0)[..., None]
    return (picture * (1 - share) + colours[labels] * share).round().astype(np.uint8)
