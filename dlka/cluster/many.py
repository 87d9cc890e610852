"""Two models on very many pictures: blocks go to an engine, and numbers and a report are made of the parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dlka.analysis.analysis import Settings
from dlka.analysis.many import tables
from dlka.analysis.many.analyses import LEAST, ManyAnalyses, Row
from dlka.analysis.many.inputs import sort_files
from dlka.analysis.many.precision import Precision, precisions
from dlka.analysis.many.report import report
from dlka.cluster.engines import Question
from dlka.cluster.parts import Parts, pixels_of, write
from dlka.cluster.rows import detections
from dlka.errors import DlkaError
from dlka.temporary import new_folder

COUNTS, REPORT = "counts.json", "report.html"
REPORTED = 5_000  # pictures of a report, and of AP: what a browser opens, and a laptop's memory holds


class Run:
    """A run in a folder, new or to go on with.

    pictures: addresses, which numbers and report are of, whatever else is in the folder; those that failed before are
    tried again. labels: files of labels, none where nothing is judged; block: pictures a part. Raises DlkaError
    for settings and labels that cannot be used, and for a folder with another run.
    """

    def __init__(
        self, pictures: Sequence[str], settings: Settings, out: str, labels: Sequence[str] = (), block: int = 64
    ) -> None:
        self.many = ManyAnalyses(settings, None, Path(new_folder()))  # which refuses what cannot be
        self.told: tuple[str, ...] = ()
        if labels:
            given = sort_files([*pictures, *labels], self.many.names, most=len(pictures))
            self.many.labels, self.told = given.labels, given.told
            if given.labels is None:
                raise DlkaError(
                    "--labels: expected YOLO's .txt files, named as pictures are, or a COCO .json; there are none."
                )
        self.question = Question(settings, out, LEAST if labels else settings.confidence)
        self.parts = Parts(out, settings, self.question.least, pictures)
        self.again = self.parts.forget_problems()
        done = self.parts.done()
        left = [picture for picture in pictures if picture not in done]
        self.blocks = [left[i : i + block] for i in range(0, len(left), block)]
        self.left, self.done = len(left), len(pictures) - len(left)

    def summarise(self, most: int = REPORTED) -> dict[str, Any]:
        """Write COUNTS and REPORT from the parts, and return what COUNTS holds: Parts.counts, and AP under "measures".

        most: pictures that are in the report, and that AP is taken from.
        """
        counts, many = self.parts.counts(), self.many
        fill(many, self.parts, most)
        told = list(self.told)
        if len(many.rows) < counts["pictures"]:
            told.insert(0, f"This shows the first {most:,} of {counts['pictures']:,} pictures; {COUNTS} counts all.")
        counts["measures"] = list(map(measure, precisions(many)))
        write(self.question.out, COUNTS, json.dumps(counts, indent=1).encode())
        write(self.question.out, REPORT, report(many, tables.summary(many), told).encode())
        return counts


def fill(many: ManyAnalyses, parts: Parts, most: int) -> None:
    """Put the first pictures of all parts into what is shown of a run, as ManyAnalyses.add would; no model looks."""
    for table in parts.tables():
        for rows in table.partition_by("picture", maintain_order=True):
            if len(many.rows) == most:
                return
            picture, problem, height, width = rows.row(0)[:4]
            row = Row(Path(picture).name, problem=problem or "")
            if problem is None:
                found, image = detections(rows, many.names), partial(pixels_of, picture)
                row = many.judged_row(row.file, (height, width), found, image)
            many.rows.append(row)


def measure(one: Precision) -> dict[str, Any]:
    """AP of both models and their difference, 0..1, for JSON; intervals: 95 %, of the same three, if there are any."""
    sides = ("dlka", "baseline", "difference")
    intervals = dict(zip(sides, map(list, one.intervals)))
    told = {"measure": "AP_S" if one.small else "AP", "pictures": one.pictures, **dict(zip(sides, one.values))}
    return {**told, "intervals": intervals}
