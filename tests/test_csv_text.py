"""CSV that spreadsheets open: what would be a formula is text, numbers are numbers."""

from __future__ import annotations

import csv
import io

import pytest

from dlka.csv_text import csv_text


def cell(value):
    ((found,),) = csv.reader(io.StringIO(csv_text([[value]]), newline=""))
    return found


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        '=cmd|"/C calc"!A0',
        "\t=1",
        "\r=1",
        "\n=1",
        "\tperson",
        " =1+1",
        '"=1+1',
        "'=1+1",
        "\u00a0=1+1",
        "\ufeff=1+1",
        "\u200b=1+1",
        "\x00=1+1",
        "\uff1d1+1",
        "\uff0b1+1",
        "\uff0d1+1",
        "\uff20SUM(A1)",
        "-person",
        "-1-1",
        "+1 2",
    ],
)
def test_formulas_are_text(text):
    found = cell(text)
    assert found.startswith("'")
    assert found.replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    "value",
    [
        "-0.12",
        "+0.12",
        "-1",
        "1e-5",
        "-.5",
        -3,
        0.25,
        "-",
        "+",
        "person",
        "P3 (4, 7)",
        "a=b",
        "e@mail",
        "",
        "=",
        "x - y",
    ],
)
def test_numbers_and_plain_texts_stay(value):
    assert cell(value) == str(value)


def test_no_cell_can_begin_within_another():
    """Where cells end at a semicolon, quotes inside a line do not hold one together."""
    assert cell("car;=1+1;|@x") == "car;'=1+1;|'@x"
    assert cell("a;b|c") == "a;b|c"


def test_rows_and_quotes():
    assert csv_text([["a", "b"], ['x"y', 1.5]]) == 'a,b\r\n"x""y",1.5\r\n'
