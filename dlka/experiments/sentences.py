"""What the figures say, in sentences that follow from them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from dlka.analysis.bootstrap import COMPARED
from dlka.experiments.deltas import Delta, Model, difference, intervened
from dlka.experiments.plan import CONTROL, rigid_twin
from dlka.experiments.words import figure, listed, signed, with_interval

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
            if _gain(model, control) > 0 and _gain(model, twin) <= 0:
                yield f"So what {word} gains over control is not shown to come from deforming."
        if (fallen := intervened(model, NO_OFFSETS)) is not None:
            yield _without_offsets(word, fallen)
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
    count = sum(map(len, sides.values()))
    return f"By AP, of {count} D-LKA {'model' if count == 1 else 'models'}: {listed(parts)}." if parts else "No AP."


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


def _gain(model: Model, to: Model) -> int:
    """1 where the interval of the difference in AP is above zero, -1 below, otherwise 0."""
    delta = difference(model, to, "AP")
    return delta.sign if delta else 0


def _without_offsets(word: str, delta: Delta) -> str:
    does = {-1: "falls", 1: "rises", 0: "does not move beyond its interval"}[delta.sign]
    return f"With the offsets of {word} set to zero its AP {does}: {with_interval(delta)}."


def _moved(word: str, model: Model) -> str:
    stages = list(zip(*(run.stage_offsets for run in model.runs)))  # of each stage a row a seed
    far = sum(np.mean([row["mean_cells"] for row in seeds]) > FAR for seeds in stages)
    vary = sum(all(row["varies"] for row in seeds) for seeds in stages)
    return (
        f"{word} moves its taps by more than {FAR} cell in the mean in {far} of {len(stages)} stages, and differently "
        f"from picture to picture in {vary} of {len(stages)}."
    )
