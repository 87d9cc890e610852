"""A run as one HTML file that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from dlka.analysis import model_words
from dlka.analysis.many import tables
from dlka.analysis.many.analyses import MISSED, ManyAnalyses
from dlka.models.catalog import cards
from dlka.versions import versions

MOST = 200  # close-ups, the smallest ones
SIDES = {"only D-LKA": "dlka", "only baseline": "baseline", "class changed": "changed", MISSED: "labelled"}


def report(many: ManyAnalyses, summary: str, told: Sequence[str] = (), now: datetime | None = None) -> str:
    """The report's HTML.

    summary: of tables; told: sentences about the run as a whole; now: the date on it, else the clock's.
    """
    settings, known = many.settings, cards()
    sides = ("D-LKA", "dlka", settings.dlka), ("Baseline", "baseline", settings.baseline)
    template = tables.TEMPLATES.get_template("report.html")
    return template.render(
        when=(now or datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M %Z"),
        told=told,
        models=[
            {"side": side, "class": name, "id": model, "line": model_words.line(model), "card": known[model]}
            for side, name, model in sides
        ],
        settings={
            "confidence, least score of a box": f"{settings.confidence:g}",
            "IoU above which boxes of a class are merged": f"{settings.iou:g}",
            "input size, longer side": f"{settings.size} px" if settings.size else "what fits the models",
            "classes": ", ".join(settings.classes) or "all",
        },
        versions=versions(),
        judged=many.truth is not None,
        summary=Markup(summary),  # these two escape what they show
        pictures=Markup(tables.pictures(many)),
        number=len(many.findings),
        shown=[
            {
                "caption": tables.caption(found),
                "cells": list(zip(tables.columns(many), tables.finding(many, found))),
                "side": SIDES.get(found.kind, "missed"),
                "source": "data:image/jpeg;base64," + base64.b64encode(found.tile).decode(),
            }
            for found in many.findings[:MOST]
            if found.tile
        ],
    )
