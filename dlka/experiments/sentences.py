"""What the figures say, in sentences that follow from them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from dlka.analysis.bootstrap import COMPARED
from dlka.experiments.deltas import Delta, Model, difference, intervened, recall, single, size_bins
from dlka.experiments.plan import CONTROL, STOCK, rigid_twin
from dlka.experiments.stored import StoredRun
from dlka.experiments.words import figure, listed, signed, with_interval
from dlka.printing import count
from dlka.types import SIZES, size_of

FAR = 0.2  # cells: a stage that moves its taps less in the mean does little
NO_OFFSETS = "offsets x0"


def findings(models: Mapping[str, Model]) -> Iterator[str]:
    """Sentences on one data set, the main ones first; models: those that were trained alike."""
    control = models.get(CONTROL)
    deformed = {word: model for word, model in models.items() if rigid_twin(word)}
    if control is None:
        yield "No run of control is stored, so nothing is compared."
        return
    if not deformed:
        yield "No run of a D-LKA model is stored, so nothing is compared."
        return
    yield _summary(deformed, control)
    best = best_of(deformed)
    if best and len(deformed) > 1:
        yield (
            f"The best of {len(deformed)} D-LKA models by AP is {best} with {figure(models[best].mean('AP'))}; it was "
            "picked on these very pictures, so that its own difference flatters it."
        )
    for word, model in deformed.items():
        yield against(word, model, CONTROL, control)
        if (twin := models.get(rigid_twin(word) or "")) is not None:
            yield against(word, model, "its rigid twin", twin)
            gains = [difference(model, to, "AP") for to in (control, twin)]
            if gains[0] and gains[0].sign > 0 and not (gains[1] and gains[1].sign > 0):
                yield f"So what {word} gains over control is not shown to come from deforming."
        if (fallen := intervened(model, NO_OFFSETS)) is not None:
            does = {-1: "falls", 1: "rises", 0: "does not move beyond its interval"}[fallen.sign]
            yield f"With the offsets of {word} set to zero its AP {does}: {with_interval(fallen)}."
        if model.runs[0].stage_offsets:
            yield _moved(word, model)


def against(word: str, model: Model, name: str, to: Model) -> str:
    """How a model stands to another in AP and AP_S, in one sentence; name: the other's, for people."""
    deltas = {m: d for m in COMPARED if (d := difference(model, to, m))}
    if not deltas:
        return f"{word} and {name} have no seed in common: not compared."
    return f"{word} is {_verdicts(name, deltas)}{_noise(deltas['AP']) if 'AP' in deltas else ''}."


def best_of(models: Mapping[str, Model]) -> str | None:
    """The word of the model with the highest AP, or None where there is none."""
    known = {word: value for word, model in models.items() if (value := model.mean("AP")) is not None}
    return max(known, key=lambda word: known[word]) if known else None


def _summary(deformed: Mapping[str, Model], control: Model) -> str:
    deltas = {word: difference(model, control, "AP") for word, model in deformed.items()}
    sides = {sign: [word for word, d in deltas.items() if d and d.sign == sign] for sign in (1, -1, 0)}
    words = {1: "above control", -1: "below control", 0: "not distinguishable from control"}
    parts = [f"{len(found)} {words[sign]} ({listed(found)})" for sign, found in sides.items() if found]
    return f"By AP, of {count(len(deltas), 'D-LKA model')}: {listed(parts)}." if parts else "No AP."


def _verdicts(name: str, deltas: Mapping[str, Delta]) -> str:
    """The measures by where their intervals lie: above zero, below, around it."""
    parts = []
    for sign, words in ((1, "above"), (-1, "below"), (0, "not distinguishable from")):
        found = {measure: with_interval(delta) for measure, delta in deltas.items() if delta.sign == sign}
        if not found:
            continue
        if sign:
            parts.append(f"{words} {name} by {listed([f'{text} {measure}' for measure, text in found.items()])}")
        else:
            includes = "the interval includes zero" if len(found) == 1 else "the intervals include zero"
            figures = listed([f"{measure} ({text})" for measure, text in found.items()])
            parts.append(f"{words} {name} in {figures}: {includes}")
    return listed(parts)


def _noise(delta: Delta) -> str:
    """What the seeds add to a difference in AP."""
    if len(delta.seeds) < 2:
        return "; one seed, so the noise of training is not known"
    span = f"{signed(min(delta.seeds))} to {signed(max(delta.seeds))} AP"
    if delta.sign and not delta.agreed:
        return f"; but not with every seed ({span})"
    return f"; by seed {span}"


def _moved(word: str, model: Model) -> str:
    stages = list(zip(*(run.stage_offsets for run in model.runs)))  # of each stage a row a seed
    far = sum(np.mean([row["mean_cells"] for row in seeds]) > FAR for seeds in stages)
    vary = sum(all(row["varies"] for row in seeds) for seeds in stages)
    return (
        f"{word} moves its taps by more than {FAR} cell in the mean in {far} of {len(stages)} stages, and differently "
        f"from picture to picture in {vary} of {len(stages)}."
    )


# Where a model is known to fail.

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
        rests = count(counts[size], "object")
        yield f"By size, AP is lowest for {size}: {100 * sure[size]:.1f}, which rests on {rests}."
    for size in (size for size in figures if size not in sure):
        yield f"AP_{size}, {100 * figures[size]:.1f}, rests on {count(counts[size], 'object')} and is unreliable."
    if not run.objects:
        return
    number, sides = size_bins(run.object_side)
    share = recall(single(run), number).mean
    worst = int(share.argmin())
    among = int((number == worst).sum())
    yield (
        f"Of the {count(among, 'object')} around {sides[worst]:.0f} px wide, the size that it finds least of, it finds "
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
    return listed([f"{name} ({100 * row['AP']:.1f}, {count(int(row['objects']), 'object')})" for name, row in rows])
