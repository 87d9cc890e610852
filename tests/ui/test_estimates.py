"""How long an answer is expected to take."""

from __future__ import annotations

import pytest

from dlka.ui.admission import KEPT, Estimates


def test_what_is_usual_until_something_is_known():
    known = Estimates()
    assert known.seconds("analysis", "a", 3.0) == 3.0
    known.add("analysis", "a", 1.0)
    assert known.seconds("analysis", "a", 3.0) == known.seconds("analysis", "b", 3.0) == 1.0
    assert known.seconds("draw", "a", 3.0) == 3.0


def test_own_times_count_for_oneself():
    known = Estimates()
    for address, seconds in (("a", 1.0), ("b", 5.0)):
        known.add("analysis", address, seconds)
    assert known.seconds("analysis", "a", 0) == 1.0
    assert known.seconds("analysis", "c", 0) == pytest.approx(3 + 2)  # mean, and one deviation more


def test_the_newest_counts_most():
    known = Estimates()
    for seconds in (8.0, 4.0, 2.0):
        known.add("analysis", "a", seconds)
    assert known.seconds("analysis", "a", 0) == 4.0


def test_nobody_decides_for_all():
    known = Estimates()
    for i in range(9):
        known.add("analysis", f"{i}", 1.0)
    for _ in range(100):
        known.add("analysis", "quick", 0.0)
    assert known.seconds("analysis", "new", 0) > 0.9


def test_only_some_addresses_are_known():
    known = Estimates()
    for i in range(2 * KEPT):
        known.add("analysis", f"{i}", float(i >= KEPT))
    assert known.seconds("analysis", "new", 0) == 1.0
