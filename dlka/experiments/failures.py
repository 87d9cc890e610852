"""Where a model is known to fail: sentences that follow from one stored run and those that it is compared to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from dlka.experiments.deltas import Model, difference, intervened, recall, single, size_bins
from dlka.experiments.plan import CONTROL, STOCK
from dlka.experiments.sentences import NO_OFFSETS
from dlka.experiments.stored import StoredRun
from dlka.experiments.words import listed, with_interval
from dlka.types import SIZES, size_of

FEW = 50  # objects, under which an AP is one of these objects and not of their kind
WORST = 3  # classes that are named
SHORT = 10  # unreliable classes that are all named
DEAD = 0.05  # cells: a stage that moves its taps less in the mean reads next to what a rigid one reads
PLACE = 0.3  # share of the offsets' variance from content, under which place decides rather than what is seen


def failures(run: StoredRun, models: Mapping[str, Model]) -> Iterator[str]:
    """Sentences; models: those of the run's data set, by word."""
    yield from _below(run, models)
    yield from _sizes(run)
    yield from _classes(run)
    yield from _offsets(run)


def _below(run: StoredRun, models: Mapping[str, Model]) -> Iterator[str]:
    for word, name in ((CONTROL, "control"), (STOCK, "the stock weights")):
        if word == run.model or word not in models:
            continue
        deltas = {m: difference(single(run), models[word], m) for m in ("AP", "AP_S", "AP_M", "AP_L")}
        if below := [f"{measure} ({with_interval(d)})" for measure, d in deltas.items() if d and d.sign < 0]:
            yield f"It is below {name} in {listed(below)}."


def _sizes(run: StoredRun) -> Iterator[str]:
    figures = {size: ap for size in SIZES if (ap := run.metrics[f"AP_{size}"]) is not None}
    counts = Counter(size_of(float(side) ** 2) for side in run.object_side)
    if sure := {size: ap for size, ap in figures.items() if counts[size] >= FEW}:
        size = min(sure, key=lambda size: sure[size])
        yield f"By size, AP is lowest for {size}: {100 * sure[size]:.1f}, which rests on {_objects(counts[size])}."
    for size in (size for size in figures if size not in sure):
        yield f"AP_{size}, {100 * figures[size]:.1f}, rests on {_objects(counts[size])} and is unreliable."
    if not run.objects:
        return
    number, sides = size_bins(run.object_side)
    share = recall(single(run), number).mean
    worst = int(share.argmin())
    among = int((number == worst).sum())
    yield (
        f"Of the {_objects(among)} around {sides[worst]:.0f} px wide, the size that it finds least of, it finds "
        f"{100 * share[worst]:.0f} % (score 0.25, IoU 0.5)."
    )


def _classes(run: StoredRun) -> Iterator[str]:
    by_ap = sorted(run.classes.items(), key=lambda item: item[1]["AP"])
    sure = [(name, row) for name, row in by_ap if row["objects"] >= FEW]
    if len(sure) > 1:
        worst = sure[: min(WORST, len(sure) - 1)]
        yield f"Of classes with {FEW} objects or more, AP is lowest for {_named(worst)}."
    if rare := [(name, row) for name, row in by_ap if row["objects"] < FEW]:
        which = _named(rare)
        if len(rare) > SHORT:
            others = f"all but {listed([name for name, _ in sure])}" if sure else "all"
            which = f"{others}; lowest among them {_named(rare[:WORST])}"
        yield (
            f"Unreliable, as it rests on fewer than {FEW} objects, is the AP of {len(rare)} of {len(by_ap)} classes: "
            f"{which}."
        )
    if unseen := run.card.get("classes", len(by_ap)) - len(by_ap):
        yield f"{unseen} of its classes {'has' if unseen == 1 else 'have'} no object in these pictures: not measured."


def _offsets(run: StoredRun) -> Iterator[str]:
    rows = run.stage_offsets
    if dead := [f"{row['label']} ({row['mean_cells']:.3f})" for row in rows if row["mean_cells"] < DEAD]:
        yield f"Stages that hardly move their taps (mean under {DEAD} cell): {listed(dead)}."
    shares = [(row["label"], row["content"]) for row in rows if row["content"] is not None]
    if placed := [f"{label} ({100 * share:.0f} %)" for label, share in shares if share < PLACE]:
        yield (
            f"Stages whose offsets follow the place on the map rather than what is seen (under {100 * PLACE:.0f} % of "
            f"their variance is from content): {listed(placed)}."
        )
    without = intervened(single(run), NO_OFFSETS)
    if without and without.sign >= 0:
        yield (f"Its offsets are not shown to help: with all of them set to zero AP moves by {with_interval(without)}.")


def _named(rows: list[tuple[str, dict[str, float]]]) -> str:
    return listed([f"{name} ({100 * row['AP']:.1f}, {_objects(int(row['objects']))})" for name, row in rows])


def _objects(count: int) -> str:
    return f"{count:,} object{'' if count == 1 else 's'}"
