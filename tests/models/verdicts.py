"""What the doctor and the builder say of a model yaml, side by side."""

from __future__ import annotations

from pathlib import Path

from dlka.errors import DlkaError
from dlka.models.build import DLKAModel, model_config, read_config
from dlka.models.yaml_lint import diagnose

CASES = Path(__file__).parents[1] / "cases" / "yaml"


def verdicts(model: dict | Path) -> tuple[str, str]:
    """What the doctor and the builder say of a model; "" where nothing is wrong."""
    said = []
    for judge in (lambda: _diagnose(model), lambda: DLKAModel(model, verbose=False)):
        try:
            judge()
            said.append("")
        except DlkaError as error:
            said.append(str(error))
    return said[0], said[1]


def _diagnose(model: dict | Path) -> None:
    report = diagnose(model if isinstance(model, dict) else read_config(model))
    if not report.ok:
        problem = report.problems[0]
        raise DlkaError(("" if problem.row is None else f"row {problem.row}: ") + problem.sentence)


def with_row(index: int, row: list, placement: str = "control") -> dict:
    """A placement's model with one row of the backbone changed."""
    config = model_config(placement)
    config["backbone"][index] = row
    return config
