"""Writes the doctor's mended rows into the text of a model yaml; comments and layout stay as they are."""

from __future__ import annotations

import yaml

from dlka.models.doctor import Report, diagnose
from dlka.models.row_tracking import Row
from dlka.models.yaml_file import ModelYamlError, flow_text, parse_model_yaml

ROUNDS = 5  # mending one row can bring to light what was hidden behind it


def mend(text: str, scale: str | None = None) -> str:
    """The yaml text with the wrong values of the wrong rows replaced, so that `diagnose` finds it ok for the scale.

    A text that is ok comes back unchanged. Raises ModelYamlError for what is no model yaml, and for a problem that
    has no mended row to offer.
    """
    for _ in range(ROUNDS):
        report = diagnose(parse_model_yaml(text), scale)
        if report.ok:
            return text
        text = _apply(text, report)
    raise ModelYamlError("the rows contradict each other so that mending one breaks another; change them by hand.")


def _apply(text: str, report: Report) -> str:
    for problem in report.problems:
        if problem.mended is None:
            where = "" if problem.row is None else f"row {problem.row}: "
            raise ModelYamlError(f"{where}{problem.sentence}, and no mended row can be offered; change it by hand.")
    mended: dict[int, Row] = {p.row: p.mended for p in report.problems if p.row is not None and p.mended is not None}
    edits = []
    for index, nodes in enumerate(_row_nodes(text)):
        row = report.rows[index]
        old = [row.source, row.repeats, row.module, row.args]
        new = mended.get(index, old)
        edits += [(*_span(node), flow_text(b)) for node, a, b in zip(nodes, old, new) if a != b]
    for start, end, value in sorted(edits, reverse=True):  # from the end, so that earlier places stay valid
        text = text[:start] + value + text[end:]
    return text


def _row_nodes(text: str) -> list[list[yaml.Node]]:
    """The four value nodes of every row, backbone then head."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    parts = {key.value: value for key, value in root.value}
    return [row.value for part in ("backbone", "head") for row in parts[part].value]


def _span(node: yaml.Node) -> tuple[int, int]:
    """Where a node's own text begins and ends; a block list counts up to its last item, not up to the next line."""
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        last = last.value[-1]
    return node.start_mark.index, last.end_mark.index
