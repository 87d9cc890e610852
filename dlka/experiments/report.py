"""The report: stored runs as one Markdown file with its charts, which dlka.render draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dlka.analysis.bootstrap import COMPARED
from dlka.errors import make_folder
from dlka.experiments import deltas, tables
from dlka.experiments.deltas import Collection, Model, trained_alike
from dlka.experiments.plan import CONTROL, START, STOCK, Experiment, family, rigid_twin, split, steps
from dlka.experiments.sentences import best_of, findings
from dlka.experiments.stored import load_all
from dlka.experiments.tables import Latency
from dlka.experiments.words import machine, rendered, versions
from dlka.models.placements import PLAIN
from dlka.render.chart import chart_png, chart_svg
from dlka.render.forest import Candidate, Group, Row, forest, tradeoff
from dlka.render.recall import Curve, RecallPanel, recall_chart
from dlka.shipped import ASSETS

RUNS = ASSETS / "evidence" / "runs"
LATENCY = "latency.json"
CHARTS = ("forest", "latency", "recall")
OF_A_MODEL = ("placement", "offsets", "seed")  # fields of a recipe that make the model and the run, not the setting


def write_report(runs: Path, out: Path, plan: Sequence[Experiment]) -> list[Path]:
    """Make the report of a folder of stored runs: report.md, and each chart that there are runs for as PNG and SVG.

    Times come from latency.json beside the folder of runs, the result of `bench model --json`; without it the report
    has none. Returns what was written. Raises DlkaError for no runs, for damaged ones and for runs that were
    not measured alike.
    """
    collection, latency = deltas.collect(load_all(runs), plan), tables.load_latency(runs.parent / LATENCY)
    drawn = charts(collection, latency)
    measured, chosen = collection.runs, {part.name: part.chosen for part in plan}
    text = rendered(
        "report.md.j2",
        {
            "planned": len(steps(plan)),
            "missing": collection.missing,
            "missing_by_model": _by_model(collection.missing),
            "latency": latency,
            "charts": {name: title for name, (_, title) in drawn.items()},
            "parts": [
                {**_part(data, models, latency), "chosen": chosen.get(data)}
                for data, models in collection.models.items()
            ],
            "versions": list(dict.fromkeys(versions(run.versions) for run in measured)),
            "machines": list(dict.fromkeys(machine(run.machine, "cpu", "vectors") for run in measured)),
        },
    )
    make_folder(out)
    written = [out / "report.md"]
    written[0].write_text(text, encoding="utf-8")
    for name in CHARTS:
        for suffix in (".png", ".svg"):
            file = out / f"{name}{suffix}"
            file.unlink(missing_ok=True)  # one of an earlier report would not be of these runs
            if name in drawn:
                figure, title = drawn[name]
                file.write_bytes(chart_png(figure) if suffix == ".png" else chart_svg(figure, title))
                written.append(file)
    return written


def _part(data: str, models: Mapping[str, Model], latency: Latency | None) -> dict[str, Any]:
    """What the report says of one data set; its tables are Markdown, None where there is nothing to show."""
    alike = trained_alike(models)
    run = next(iter(models.values())).runs[0]
    return {
        "data": data,
        "run": run,
        "findings": findings(alike),
        "figures": tables.figures_table(models, latency),
        "differences": tables.differences_table(alike),
        "stock": tables.stock_table(alike, models[STOCK]) if STOCK in models and alike else None,
        "interventions": tables.causes_table(alike),
        "offsets": tables.offsets_table(alike),
        "recipes": _recipes(list(models.values())),
    }


def _recipes(models: Sequence[Model]) -> dict[str, str]:
    """Settings that all models of a data set share, and those of each model that differs: whose -> in words."""
    recipes = {
        model.word: {k: v for k, v in recipe.items() if k not in OF_A_MODEL}
        for model in models
        if model.word not in (STOCK, START) and (recipe := model.runs[0].recipe)
    }
    if not recipes:
        return {}
    first = next(iter(recipes.values()))
    common = {k: v for k, v in first.items() if all(r.get(k) == v for r in recipes.values())}
    found = {"recipe": _settings(common)}
    for word, recipe in recipes.items():
        if own := {k: v for k, v in recipe.items() if k not in common}:
            found[f"{word} alone"] = _settings(own)
    for model in models:
        if model.word == START and (begin := model.runs[0].recipe):
            found["start of all models"] = _settings(begin)
    return found


def _settings(recipe: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in recipe.items() if value is not None)


def _by_model(ids: Iterable[str]) -> str:
    """Ids of runs, the seeds of each model together: "hit-uav/neck-s0, s1"."""
    seeds: dict[str, list[str]] = {}
    for run in ids:
        model, _, seed = run.rpartition("-")
        seeds.setdefault(model, []).append(seed)
    return "; ".join(f"{model}-{', '.join(found)}" for model, found in seeds.items())


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
    timed = [(data, _candidates(models, latency)) for data, models in compared.items()] if latency else []
    if timed := [(data, candidates) for data, candidates in timed if len(candidates) > 1]:
        drawn = tradeoff(timed, "time for a picture, control = 1", "AP, %", "least to most of the seeds")
        found["latency"] = drawn, "AP against the time for a picture, by model"
    if panels := [p for data, models in compared.items() if (p := _recall_panel(data, models))]:
        note = "Found: IoU 0.5, score 0.25. Bands: 95 % intervals over objects.\nDotted upright: 32 and 96 px."
        found["recall"] = recall_chart(panels, note), "Recall against the size of objects, control and D-LKA"
    return found


def _group(data: str, models: Mapping[str, Model]) -> Group:
    rows, before = [], ""
    families, variants = list(dict.fromkeys(map(family, models))), list(VARIANT)
    for word in sorted(models, key=lambda word: (families.index(family(word)), variants.index(_variant(word)))):
        name, offsets = family(word), _variant(word)
        gains = [deltas.difference(models[word], models[CONTROL], measure) for measure in COMPARED]
        if word != CONTROL and any(gains):
            label = VARIANT[offsets] if name == before else f"{name} {VARIANT[offsets]}".strip()
            rows.append(Row(label, offsets, gains, name != before))
            before = name
    run = models[CONTROL].runs[0]
    return Group(f"{data}: {run.pictures} pictures, {run.objects:,} objects", rows)


def _variant(word: str) -> str:
    """A key of VARIANT: how a model's offsets are predicted, or that it has no D-LKA."""
    placement, offsets = split(word)
    return "plain" if placement in PLAIN else offsets


def _candidates(models: Mapping[str, Model], latency: Latency) -> list[Candidate]:
    found = []
    for word, model in models.items():
        ratio, gain = latency.ratio(word), model.mean("AP")
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
    number, sides = deltas.size_bins(control.runs[0].object_side)
    there = {role: models[word] for role, word in shown.items() if word in models}
    curves = [Curve(role, model.word, *deltas.recall(model, number)) for role, model in there.items()]
    gains = [Curve(r, m.word, *deltas.recall_gain(m, control, number)) for r, m in there.items() if r != "control"]
    return RecallPanel(f"{data}: {control.runs[0].objects:,} objects", sides, curves, gains)
