"""What `dlka val-seg` measures: Dice and the 95th percentile of surface distances of a network on the validation part
of a data set, with its offsets and without, with intervals over cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

from dlka.errors import DlkaError
from dlka.segment.scans import CaseFolder, read_case, read_folder
from dlka.segment.segmenter import Segmenter
from dlka.versions import versions

WITH, WITHOUT = "", ", offsets at zero"  # what a row of a model that deforms is called after its name
RESAMPLES = 2000  # of the cases, for an interval


def val_seg(models: Sequence[str], folder: str, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure networks, ids or files, on the same cases.

    Returns data, cases, networks (name and SHA-256 of every file) and versions; rows: for each model, and once more
    with its offsets at zero where it has some, "model", and by the name of every part "dice" and "hd95" (mm, of a
    picture px), each [mean, low, high] with a 95 % interval over cases; values: the same numbers case by case; against:
    differences in Dice of the first row to every other one, paired over cases, by part. What is no number (a part that
    is not there) is left out of a mean, and a mean of nothing is left out. Raises DlkaError.
    """
    data = read_folder(folder)
    found: dict[str, np.ndarray] = {}
    networks: dict[str, Any] = {}
    for model in dict.fromkeys(models):
        segmenter = Segmenter.of(model)
        _check(segmenter, data, model, report)
        networks[model] = segmenter.network
        for strength, called in ((1.0, WITH), (0.0, WITHOUT))[: 2 if segmenter.deforms else 1]:
            report(f"Measuring {model}{called} on {len(data.val)} cases ...")
            found[f"{model}{called}"] = np.array(list(_cases(segmenter, data, strength)))
    parts = list(data.names.values())[1:]
    rows: list[dict[str, Any]] = []
    for name, values in found.items():
        means = (_means({"dice": own[:, 0], "hd95": own[:, 1]}) for own in values.swapaxes(0, 1))
        rows.append({"model": name, **dict(zip(parts, means))})
    against = []
    first, *others = found
    for name in others:
        leads = found[first][:, :, 0] - found[name][:, :, 0]
        against.append({"model": first, "against": name, **_means(dict(zip(parts, leads.T)))})
    return {
        **{"data": data.title, "cases": len(data.val), "parts": parts, "unit": "mm" if segmenter.volumes else "px"},
        **{"rows": rows, "against": against, "networks": networks, "versions": versions()},
        "values": {name: _plain(values) for name, values in found.items()},
    }


def rows_of(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of val_seg for a table: means with their intervals as text."""
    kinds = (("dice", "Dice", 3), ("hd95", f"HD95, {measured['unit']}", 2))
    return [
        {"model": row["model"]}
        | {f"{part}: {said}": _told(row[part].get(kind), n) for part in measured["parts"] for kind, said, n in kinds}
        for row in measured["rows"]
    ]


def lead_rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Differences in Dice for a table."""
    return [
        {"Dice of": row["model"], "minus": row["against"]}
        | {part: _told(row.get(part), 3) for part in measured["parts"]}
        for row in measured["against"]
    ]


def _cases(segmenter: Segmenter, data: CaseFolder, strength: float) -> Iterator[list[tuple[float, float]]]:
    """For every case a row for every part: Dice and HD95."""
    for case in data.val:
        scan, true = read_case(case, len(data.names))
        labels = segmenter.look(scan, strength).labels
        pairs = [(labels == number, true == number) for number in list(data.names)[1:]]
        yield [(dice(one, other), hd95(one, other, scan.spacing)) for one, other in pairs]


def _check(segmenter: Segmenter, data: CaseFolder, model: str, report: Callable[[str], None]) -> None:
    names, others = segmenter.card.names[1:], list(data.names.values())[1:]
    own, wanted = ", ".join(names), ", ".join(others)
    if len(names) != len(others):
        raise DlkaError(f"{model}: expected a network of the data's classes ({wanted}), got one of {own}.")
    for number, name in enumerate(names, 1):
        if name in others and name != others[number - 1]:
            raise DlkaError(
                f"{model}: {name} is number {number} of the network and number {others.index(name) + 1} of the data: "
                "give both the same order."
            )
    if names != others:
        report(f"{model}: its classes are {own}, those of the data {wanted}; they are compared by their numbers.")


def _means(values: dict[str, np.ndarray]) -> dict[str, tuple[float, float, float]]:
    """Intervals by name, of those that have a number at all."""
    return {name: interval(of) for name, of in values.items() if np.isfinite(of).any()}


def _told(values: Sequence[float] | None, digits: int) -> str:
    if values is None:
        return "-"
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} ({low} to {high})"


def _plain(values: np.ndarray) -> list[list[list[float | None]]]:
    """JSON knows no number that is none."""
    return [[[None if np.isnan(v) else round(float(v), 4) for v in pair] for pair in case] for case in values]


def dice(found: np.ndarray, true: np.ndarray) -> float:
    """Dice's overlap 2 |A and B| / (|A| + |B|) of two masks, 0 to 1; not a number where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else float("nan")


def hd95(found: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the distances between the surfaces of two masks, from each to the other, both together, in
    units of spacing. Not a number where one of them is empty.

    A surface is the cells of a mask of which a neighbour with a common side is not in it; beyond the border nothing is.
    """
    if not (found.any() and true.any()):
        return float("nan")
    # Nothing is far away from both: what lies outside of their common box does not change a distance.
    (box,) = find_objects((found | true).astype(np.int8))
    first, second = (mask[box] & ~binary_erosion(mask[box]) for mask in (found, true))
    to_second = distance_transform_edt(~second, sampling=spacing)[first]
    to_first = distance_transform_edt(~first, sampling=spacing)[second]
    return float(np.percentile(np.concatenate([to_second, to_first]), 95))


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of values of cases, and its 95 % interval by resampling the cases; what is no number is left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return (float("nan"),) * 3
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return float(values.mean()), float(low), float(high)
