"""The report's charts: stored runs as what dlka.render draws."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from dlka.experiments.bootstrap import COMPARED
from dlka.experiments.deltas import Collection, Delta, Model, difference, trained_alike
from dlka.experiments.latency import Latency
from dlka.experiments.plan import CONTROL, family, rigid_twin, split
from dlka.experiments.sentences import best_of
from dlka.experiments.sizes import Recall, recall, recall_gain, size_bins
from dlka.models.placements import PLAIN
from dlka.render.forest import Estimate, Group, Row, forest
from dlka.render.recall import Curve, RecallPanel, recall_chart
from dlka.render.tradeoff import Candidate, tradeoff

VARIANT = {"dense": "", "separable": "separable", "none": "rigid twin", "features": "features twin", "plain": ""}


def charts(collection: Collection, latency: Latency | None) -> dict[str, tuple[Figure, str]]:
    """File stem -> chart and its title, for every chart that there are runs for."""
    every = {data: trained_alike(models) for data, models in collection.models.items()}
    compared = {data: models for data, models in every.items() if CONTROL in models and len(models) > 1}
    found: dict[str, tuple[Figure, str]] = {}
    groups = [_group(data, models) for data, models in compared.items()]
    if any(group.rows for group in groups):
        columns = ["AP - control, points", "AP_S - control, points"]
        drawn = forest(groups, columns, "95 % interval over pictures")
        found["forest"] = drawn, "Difference to control in AP and AP_S, by model"
    timed = [(data, _candidates(models, latency)) for data, models in compared.items() if latency]
    timed = [(data, candidates) for data, candidates in timed if len(candidates) > 1]
    if timed:
        drawn = tradeoff(timed, "time for a picture, control = 1", "AP, %", "least to most of the seeds")
        found["latency"] = drawn, "AP against the time for a picture, by model"
    panels = [p for data, models in compared.items() if (p := _recall_panel(data, models))]
    if panels:
        note = "Found: IoU 0.5, score 0.25. Bands: 95 % intervals over objects.\nDotted upright: 32 and 96 px."
        found["recall"] = recall_chart(panels, note), "Recall against the size of objects, control and D-LKA"
    return found


def _group(data: str, models: Mapping[str, Model]) -> Group:
    rows, before = [], ""
    families, variants = list(dict.fromkeys(map(family, models))), list(VARIANT)
    for word in sorted(models, key=lambda word: (families.index(family(word)), variants.index(_variant(word)))):
        model = models[word]
        name, offsets = family(word), _variant(word)
        deltas = [difference(model, models[CONTROL], measure) for measure in COMPARED]
        if word == CONTROL or not any(deltas):
            continue
        first, before = name != before, name
        label = f"{name} {VARIANT[offsets]}".strip() if first else VARIANT[offsets]
        rows.append(Row(label, offsets, [_estimate(d) if d else None for d in deltas], first))
    run = models[CONTROL].runs[0]
    return Group(f"{data}: {run.pictures} pictures, {run.objects:,} objects", rows)


def _variant(word: str) -> str:
    """A key of VARIANT: how a model's offsets are predicted, or that it has no D-LKA."""
    placement, offsets = split(word)
    return "plain" if placement in PLAIN else offsets


def _estimate(delta: Delta) -> Estimate:
    return Estimate(delta.value, delta.low, delta.high, delta.seeds)


def _candidates(models: Mapping[str, Model], latency: Latency | None) -> list[Candidate]:
    found = []
    for word, model in models.items():
        ratio, gain = latency.ratio(word) if latency else None, model.mean("AP")
        if ratio is not None and gain is not None:
            low, high = model.spread("AP") or (gain, gain)
            offsets = "" if word == CONTROL else _variant(word)
            found.append(Candidate(family(word), offsets, ratio, gain, low, high))
    return found


def _recall_panel(data: str, models: Mapping[str, Model]) -> RecallPanel | None:
    """Control, the best D-LKA model and its rigid twin; None without a D-LKA model."""
    best = best_of({word: model for word, model in models.items() if rigid_twin(word)})
    control = models[CONTROL]
    if best is None or not control.runs[0].objects:
        return None
    shown = {"control": CONTROL, "dlka": best, "rigid": rigid_twin(best) or ""}
    number, sides = size_bins(control.runs[0].object_side)
    there = {role: models[word] for role, word in shown.items() if word in models}
    curves = [_curve(role, model.word, recall(model, number)) for role, model in there.items()]
    gains = [_curve(r, m.word, recall_gain(m, control, number)) for r, m in there.items() if r != "control"]
    return RecallPanel(f"{data}: {control.runs[0].objects:,} objects", sides, curves, gains)


def _curve(role: str, word: str, seen: Recall) -> Curve:
    return Curve(role, word, seen.mean, seen.low, seen.high)
