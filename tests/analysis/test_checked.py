"""What programs send is checked by the annotations of what they call."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from pydantic import PlainValidator

from dlka.analysis.checked import checked
from dlka.errors import DlkaError


def even(value: Any) -> int:
    if not isinstance(value, int) or value % 2:
        raise ValueError("an even number")
    return value


def ask(
    name: str,
    size: int = 640,
    share: float = 0.5,
    scale: str | float = "all",
    x: float | None = None,
    more: dict[str, Any] | None = None,
    deep: bool = False,
    pair: Annotated[int, PlainValidator(even)] = 2,
) -> None: ...


DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "name: expected text; got nothing."),
        ({"name": None}, "name: expected text; got None."),
        ({"name": b"x"}, "name: expected text; got b'x'."),
        ({"name": DEEP}, "name: expected text; got a value of type list that is too long to show."),
        ({"size": "320"}, "size: expected a whole number; got '320'."),
        ({"size": 320.0}, "size: expected a whole number; got 320.0."),
        ({"size": True}, "size: expected a whole number; got True."),
        ({"size": None}, "size: expected a whole number; got None."),
        ({"size": [320]}, "size: expected a whole number; got [320]."),
        ({"size": {}}, "size: expected a whole number; got {}."),
        ({"share": float("nan")}, "share: expected a number; got nan."),
        ({"share": float("-inf")}, "share: expected a number; got -inf."),
        ({"share": "0.5"}, "share: expected a number; got '0.5'."),
        ({"share": False}, "share: expected a number; got False."),
        ({"share": 10**400}, f"share: expected a number; got 1{'0' * 76}...."),
        ({"share": 10**5000}, "share: expected a number; got a value of type int that is too long to show."),
        ({"scale": [1]}, "scale: expected text or a number; got [1]."),
        ({"scale": float("inf")}, "scale: expected text or a number; got inf."),
        ({"x": "left"}, "x: expected a number or nothing; got 'left'."),
        ({"more": [1]}, "more: expected an object with names and values or nothing; got [1]."),
        ({"more": {1: 2}}, "more: expected an object with names and values or nothing; got {1: 2}."),
        ({"deep": 1}, "deep: expected true or false; got 1."),
        ({"pair": 3}, "pair: expected an even number; got 3."),
        ({"name": "n" * 10**6, "size": "x" * 10**6}, f"size: expected a whole number; got '{'x' * 76}...."),
    ],
)
def test_what_is_of_another_type_is_named(given, says):
    whole = given if given.get("name", "") is None or not given else {"name": "a"} | given
    with pytest.raises(DlkaError, match=f"^Figure, {re.escape(says)}$"):
        checked(ask, whole, "Figure, ")


def test_what_fits_is_handed_on():
    given = {"name": "a", "size": 2**80, "share": 1, "scale": 2.5, "x": None, "more": {"a": [1]}, "pair": 4}
    assert checked(ask, given | {"what": "else"}) == {n: v for n, v in given.items() if n != "x"}
