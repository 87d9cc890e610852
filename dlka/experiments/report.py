"""The report: stored runs as one Markdown file with its charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dlka.experiments.charts import charts
from dlka.experiments.collect import Collection, collect, trained_alike
from dlka.experiments.deltas import Model
from dlka.experiments.latency import Latency, load_latency
from dlka.experiments.method import causes_reading, commands, method, offsets_reading, reading
from dlka.experiments.plan import STOCK, Experiment, steps
from dlka.experiments.sentences import findings, missing_sentence
from dlka.experiments.stored import load_all
from dlka.experiments.tables import causes_table, differences_table, figures_table, offsets_table, stock_table
from dlka.render.chart import chart_png, chart_svg

RUNS = Path(__file__).resolve().parent.parent.parent / "assets" / "evidence" / "runs"
LATENCY = "latency.json"
CHARTS = ("forest", "latency", "recall")


def write_report(runs: Path, out: Path, plan: Sequence[Experiment]) -> list[Path]:
    """Make the report of a folder of stored runs: report.md, and each chart that there are runs for as PNG and SVG.

    Times come from latency.json beside the folder of runs, the result of `bench model --json`; without it the report
    has none. Returns what was written. Raises RunRefused for no runs and for damaged ones, EvidenceRefused for runs
    that were not measured alike.
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
    parts = [
        "# Does D-LKA help, where, and by how much?",
        "Made by `python -m dlka evidence` from stored runs; no word of it is written by hand.",
        missing_sentence(collection.missing, len(steps(plan))),
        "" if latency else "No times are stored, so there is no column and no chart of them.",
        _image("forest", drawn),
        *(part for data, models in collection.models.items() for part in _section(data, models, latency)),
        "## Accuracy against time" if "latency" in drawn else "",
        _image("latency", drawn),
        "## Recall against the size of objects" if "recall" in drawn else "",
        _image("recall", drawn),
        "## How to read this",
        reading(),
        "## How it was made",
        method(collection, latency, plan),
        f"```bash\n{commands()}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(data: str, models: Mapping[str, Model], latency: Latency | None) -> Iterable[str]:
    alike = trained_alike(models)
    yield f"## {data}"
    yield "\n".join(f"- {sentence}" for sentence in findings(alike))
    yield figures_table(models, latency)
    yield differences_table(alike) or ""
    if STOCK in models and alike:
        yield f"### {data}: above the stock weights"
        yield stock_table(alike, models[STOCK])
    if causes := causes_table(alike):
        yield f"### {data}: what interventions do"
        yield causes
        yield causes_reading()
    if offsets := offsets_table(alike):
        yield f"### {data}: offsets"
        yield offsets
        yield offsets_reading()


def _image(name: str, drawn: Mapping[str, str]) -> str:
    return f"![{drawn[name]}]({name}.png)" if name in drawn else ""
