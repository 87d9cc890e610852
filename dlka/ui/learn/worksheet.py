"""The printable worksheet: one HTML file that needs nothing beside it, for A4."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from dlka.ui.learn.example import scene
from dlka.ui.learn.figures import FIGURES
from dlka.ui.learn.pieces import filled
from dlka.ui.learn.reading import EXAMPLE_MAP, EXAMPLE_POINT, read_bilinear
from dlka.ui.learn.words import PAGE, SHEET, STEPS

LINES = 6  # to write on, below each question


@lru_cache(maxsize=2)
def worksheet(answers: bool) -> str:
    """HTML with a picture, a question and room to write for each step; with answers, on sheets of their own."""
    key = f'<section class="answers"><h1>{SHEET["answers"]}</h1>{"".join(_answers())}</section>' if answers else ""
    return filled("worksheet.html", **SHEET, items="".join(_items()), key=key)


def _items() -> Iterator[str]:
    stage = scene().stage_labels[0]
    for number, (step, words) in enumerate(STEPS.items(), 1):
        caption = SHEET[f"figure_{step}"].format(stage=stage)
        figure = f"<figure>{FIGURES[step]()}<figcaption>{caption}</figcaption></figure>"
        room = '<div class="line"></div>' * LINES
        text = f"<h2>{number}. {words['title']}</h2><p><b>{PAGE['question']}.</b> {words['question']}</p>{room}"
        yield f'<section class="item {step}">{figure}<div>{text}</div></section>'


def _answers() -> Iterator[str]:
    for number, (step, words) in enumerate(STEPS.items(), 1):
        total = read_bilinear(EXAMPLE_MAP, *EXAMPLE_POINT)
        more = f"<p>{SHEET['sum_corners'].format(sum=f'{total:g}')}</p>" if step == "corners" else ""
        yield f"<h2>{number}. {words['title']}</h2>{words['answer']}{more}"
