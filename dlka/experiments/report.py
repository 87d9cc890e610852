"""The report: stored runs as one Markdown file with its charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlka.experiments.charts import charts
from dlka.experiments.deltas import Collection, Model, collect, trained_alike
from dlka.experiments.latency import Latency, load_latency
from dlka.experiments.plan import START, STOCK, Experiment, steps
from dlka.experiments.sentences import findings
from dlka.experiments.stored import load_all
from dlka.experiments.tables import causes_table, differences_table, figures_table, offsets_table, stock_table
from dlka.experiments.words import machine, rendered, versions
from dlka.render.chart import chart_png, chart_svg

RUNS = Path(__file__).resolve().parent.parent.parent / "assets" / "evidence" / "runs"
LATENCY = "latency.json"
CHARTS = ("forest", "latency", "recall")
OF_A_MODEL = ("placement", "offsets", "seed")  # fields of a recipe that make the model and the run, not the setting


def write_report(runs: Path, out: Path, plan: Sequence[Experiment]) -> list[Path]:
    """Make the report of a folder of stored runs: report.md, and each chart that there are runs for as PNG and SVG.

    Times come from latency.json beside the folder of runs, the result of `bench model --json`; without it the report
    has none. Returns what was written. Raises DlkaError for no runs, for damaged ones and for runs that were
    not measured alike.
    """
    collection, times = collect(load_all(runs), plan), load_latency(runs.parent / LATENCY)
    drawn = charts(collection, times)
    out.mkdir(parents=True, exist_ok=True)
    written = [out / "report.md"]
    titles = {name: title for name, (_, title) in drawn.items()}
    written[0].write_text(report_text(collection, times, titles, plan), encoding="utf-8")
    for name in CHARTS:
        for suffix in (".png", ".svg"):
            file = out / f"{name}{suffix}"
            file.unlink(missing_ok=True)  # one of an earlier report would not be of these runs
            if name in drawn:
                figure, title = drawn[name]
                file.write_bytes(chart_png(figure) if suffix == ".png" else chart_svg(figure, title))
                written.append(file)
    return written


def report_text(
    collection: Collection, latency: Latency | None, drawn: Mapping[str, str], plan: Sequence[Experiment]
) -> str:
    """The Markdown; drawn: file stem of each chart that lies beside it -> what it shows."""
    chosen = {part.name: part.chosen for part in plan}
    runs = collection.runs
    return rendered(
        "report.md.j2",
        {
            "planned": len(steps(plan)),
            "missing": collection.missing,
            "missing_by_model": _by_model(collection.missing),
            "latency": latency,
            "charts": drawn,
            "parts": [
                {**_part(data, models, latency), "chosen": chosen.get(data)}
                for data, models in collection.models.items()
            ],
            "versions": list(dict.fromkeys(versions(run.versions) for run in runs)),
            "machines": list(dict.fromkeys(machine(run.machine, "cpu", "vectors") for run in runs)),
        },
    )


def _part(data: str, models: Mapping[str, Model], latency: Latency | None) -> dict[str, Any]:
    """What the report says of one data set; its tables are Markdown, None where there is nothing to show."""
    alike = trained_alike(models)
    run = next(iter(models.values())).runs[0]
    return {
        "data": data,
        "run": run,
        "findings": findings(alike),
        "figures": figures_table(models, latency),
        "differences": differences_table(alike),
        "stock": stock_table(alike, models[STOCK]) if STOCK in models and alike else None,
        "interventions": causes_table(alike),
        "offsets": offsets_table(alike),
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
