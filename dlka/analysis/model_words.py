"""What a weights file's own card says about a model, in one line: nothing about a single model is written here."""

from __future__ import annotations

import html
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from dlka.models.catalog import PHOTOGRAPHS, SIZE, baseline_of, cards, control_of, is_coco, left_out, subject_of
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN
from dlka.models.weights import NEEDS, Card, recipe_of

# Data sets by the names of their folders -> what their pictures are, in one word and in two.
PICTURES = {
    "coco-mini": ("COCO", "COCO pictures"),
    "natural-pool": ("photographs", "unlabelled photos"),
    "hit-uav": ("thermal", "thermal drone frames"),
    "scenes": ("drawn", "drawn scenes"),
    "neu-det": ("steel", "rolled steel"),
}
NOT_MEASURED = "not measured"
USES_COLUMNS = ["offsets", "AP", "change, 95 %", "small"]
FEW = 4  # classes that are named one by one


def label(model: str, card: Card) -> str:
    """An entry of the page's choices, "residual (COCO, dense)"; what the id says is not said again."""
    data = data_sets(card)[0]
    known = "COCO" if is_coco(card.names) else PICTURES[data][0] if data in PICTURES else _count(card)
    placement = PLACEMENTS[card.placement]
    kind = placement.short if placement.twin is None else OFFSETS[card.offsets].word
    return f"{model} ({known})" if kind in model.split("-") else f"{model} ({known}, {kind})"


def lines(dlka: str, baseline: str) -> str:
    """Both chosen models, a line each with the rest behind it; which pictures they are for where those are not everyday
    ones; and every file in the weights folder that is no model: HTML."""
    known = cards()
    rows = []
    for side, model in (("dlka", dlka), ("baseline", baseline)):
        short, more = "This file cannot be read any more.", ""
        if model in known:
            card = known[model]
            short, more = " · ".join((what(card), *([needs(card.uses)] if card.uses else []))), line(model)
        named = f'<i class="{side}"></i><b>{html.escape(model)}</b> {html.escape(short)}'
        rows.append(f"<details><summary>{named}</summary>{html.escape(more)}</details>")
    if dlka in known and not is_coco(known[dlka].names):
        rows.append(f"<p>{html.escape(hint(known[dlka]))}</p>")
    rows += [f"<p>Not among the models: {html.escape(sentence)}</p>" for sentence in left_out().values()]
    return f'<div class="models">{"".join(rows)}</div>'


def line(model: str) -> str:
    """One line on a model of the catalog: what it is, what it knows and from where, how well it did, on what."""
    card = cards()[model]
    parts = [what(card), f"{_count(card)} from {pictures(card)}", measured(model)]
    if card.uses is not None:
        parts.append(in_words(card.uses))
    return " · ".join(parts)


def what(card: Card) -> str:
    """Scale, placement and offsets."""
    if card.placement in PLAIN:
        return f"stock YOLOv8{card.scale}{', one level, no pyramid' if card.placement == PLAIN[1] else ''}"
    return f"YOLOv8{card.scale}, {PLACEMENTS[card.placement].short}, {OFFSETS[card.offsets].short}"


def classes(names: Mapping[int, str]) -> str:
    """The classes, named where they are few."""
    if is_coco(names):
        return "80 COCO classes"
    if len(names) <= FEW:
        return ", ".join(shorten(name, 30) for name in names.values())
    return f"{len(names)} classes ({', '.join(shorten(names[i], 20) for i in range(3))}, ...)"


def pictures(card: Card) -> str:
    """What it was trained on, in words: "thermal drone frames"."""
    return " + ".join(PICTURES[data][1] if data in PICTURES else data for data in data_sets(card))


def made_for(card: Card) -> str:
    """Which pictures it is for, in words."""
    return "everyday photographs" if is_coco(card.names) else pictures(card)


def data_sets(card: Card) -> list[str]:
    """The data sets of the recipe, for example coco-mini and natural-pool; else what the card tells of its data."""
    recipe = recipe_of(card.recipe)
    given = [recipe.get(key) for key in ("data", "unlabelled")]
    sets = [shorten(name, 60) for name in given if name and isinstance(name, str)]
    return sets or [shorten(card.data, 60) or "unnamed data"]


def measured(model: str) -> str:
    """AP of the card in per cent, that of its control where it was measured alike, and on what."""
    card = cards()[model]
    figures, fair = card.metrics, control_of(model)
    if not _is_figure(figures.get("AP")):
        return "its card gives no AP"
    said = f"AP {_ap(figures)}"
    if card.placement not in PLAIN and fair and _alike(figures, cards()[fair].metrics):
        said += f", {fair} ({what(cards()[fair])}) {_ap(cards()[fair].metrics, '')},"
    if figures.get("pictures"):
        said += f" on {figures['pictures']} pictures of {figures.get('data', 'unnamed data')}"
    if figures.get("size") not in (None, SIZE):
        said += f" at {figures['size']} px"
    return f"{said}, {_seeds(card)}"


def offsets_in_use(model: str, card: Card) -> tuple[str, str]:
    """One word of its card on whether a model uses its offsets, or "not measured"; and why, or how to measure it."""
    if card.uses is None:
        said = "Its card does not say whether it uses its offsets. On labelled pictures this does:"
        return NOT_MEASURED, f"{said} python -m dlka uses {model} --data DIR --write"
    why = "{why} Measured on {pictures} pictures of {data} at {size} px.".format(**card.uses)
    return card.uses["verdict"], why


def hint(card: Card) -> str:
    """Which pictures to show a model that knows other things than COCO's."""
    shown = subject_of(card.names)
    if shown == "shapes":
        return (
            "These two know letters and curves as the project draws them, and nothing else. For photographs choose the "
            f"model {PHOTOGRAPHS}; one in colours that you drop here, or an example, chooses it by itself."
        )
    where = "No example here shows them: drop a picture of your own."
    if shown != "everyday":
        where = "Some of the examples show it; for everyday photographs choose another model, or take such an example."
    return f"These two expect {pictures(card)} and know only {classes(card.names)}. {where}"


def why_not(dlka: str, baseline: str) -> str:
    """A sentence for two models of different classes, and what to do about it."""
    one, other = (f"{model} knows {classes(cards()[model].names)}" for model in (dlka, baseline))
    advice = "no stock model of these classes is there, so train one on the same data with --placement control"
    if fair := baseline_of(dlka):
        advice = f"choose the baseline {fair}"
    return f"{one} and {other}: only models of the same classes can be compared; {advice}."


def _count(card: Card) -> str:
    many = len(card.names)
    return f"{many} {'COCO ' if is_coco(card.names) else ''}{'class' if many == 1 else 'classes'}"


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _ap(figures: Mapping[str, Any], word: str = "small ") -> str:
    small = f" ({word}{100 * figures['AP_S']:.1f})" if _is_figure(figures.get("AP_S")) else ""
    return f"{100 * figures['AP']:.1f}{small}"


def _alike(figures: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two cards were measured on the same pictures at the same size."""
    return _is_figure(others.get("AP")) and all(figures.get(k) == others.get(k) for k in ("data", "pictures", "size"))


def _seeds(card: Card) -> str:
    """The least and the most AP of all seeds that were trained; the file is one of them."""
    every = card.metrics.get("AP_of_seeds")
    figures = [100 * ap for ap in every if _is_figure(ap)] if isinstance(every, list) else []
    if len(figures) < 2:
        return "one seed"
    return f"{len(figures)} seeds: {min(figures):.1f} to {max(figures):.1f}"


# What `dlka uses` found of a model, as its card has it, in plain words: nothing about one model is written here.


MUCH = 1.2  # spread on large objects over that on small ones, under which the difference is called a little one


def in_words(uses: Mapping[str, Any]) -> str:
    """Whether the model needs its offsets, by AP, and how its first kernel follows objects: a clause or two, or less
    where the card has not the figures."""
    stages = uses.get("stages")
    first = stages[0] if isinstance(stages, list) and stages and isinstance(stages[0], Mapping) else {}
    return "; ".join(clause for clause in (needs(uses), follows_objects(first)) if clause)


def needs(uses: Mapping[str, Any]) -> str:
    """Whether the model needs its offsets, with its AP with and without them where the card has both."""
    own, off = (_number(uses, "offsets", name, "AP") for name in ("own", "off"))
    figures = f": AP {100 * own:.1f} with them, {100 * off:.1f} without" if own is not None and off is not None else ""
    return NEEDS[uses["verdict"]] + figures


def uses_rows(card: Card) -> list[list[str]]:
    """One row per kind of offsets under USES_COLUMNS, of what the card has: AP in per cent."""
    measured, rows = (card.uses or {}).get("offsets"), []
    if not isinstance(measured, Mapping):
        return []
    for kind in measured:
        ap, small, change = (_number(measured, kind, name) for name in ("AP", "AP_S", "AP_minus_own"))
        if ap is None:
            continue
        low, high = (_end(measured[kind], "AP_minus_own_95", end) for end in (0, 1))
        moved = "" if change is None else f"{100 * change:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        rows.append([str(kind), f"{100 * ap:.1f}", moved, "" if small is None else f"{100 * small:.1f}"])
    return rows


def follows_objects(stage: Mapping[str, Any]) -> str:
    """How samples of a stage follow objects, a clause; empty where its row has not the figures for it. stage: a row of
    dlka.experiments.following.Following.rows. Only what lies beyond its interval is said."""
    small, large, rho = (_number(stage, name) for name in ("spread_small", "spread_large", "size_rho"))
    inside, grid = _number(stage, "in_box"), _number(stage, "in_box_grid")
    if small and large and rho is not None and _end(stage, "size_rho_95", 0) > 0 and large > small:
        # Two halves do not tell whether it goes on to widen or levels off, so that no more is said than what they do.
        wider = "wider" if large / small >= MUCH else "a little wider"
        return (
            f"its first kernel is {wider} on large objects: {large:.2f} times the grid on their larger half, "
            f"{small:.2f} on the smaller"
        )
    if inside is not None and grid is not None and _end(stage, "in_box_minus_grid_95", 1) < 0:
        return f"its first kernel reads around objects: {inside:.0%} of its samples in a box, {grid:.0%} of the grid's"
    return ""


def _number(row: Mapping[str, Any], *names: str) -> float | None:
    """A number in nested mappings, None where it is not there: a card is a stranger's file."""
    value: Any = row
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _end(row: Mapping[str, Any], name: str, which: int) -> float:
    """One end of an interval [low, high], 0 where it is not there."""
    ends = row.get(name)
    known = isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
    return float(ends[which]) if known and ends else 0.0
