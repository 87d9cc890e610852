"""How long an answer takes, by how long those like it took."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

KEPT = 16  # addresses whose last times are known, for each kind of answer


class Estimates:
    """Running times by kind of answer and by the address that asked.

    One address has one time, so that nobody who asks for much that is slow, or quick, decides for all others.
    """

    def __init__(self) -> None:
        self._seen: dict[str, OrderedDict[str, float]] = {}

    def add(self, kind: str, address: str, seconds: float) -> None:
        """An answer took so many seconds: the newest counts as much as all before it."""
        times = self._seen.setdefault(kind, OrderedDict())
        times[address] = (times.pop(address, seconds) + seconds) / 2
        while len(times) > KEPT:
            times.popitem(last=False)

    def seconds(self, kind: str, address: str, usual: float) -> float:
        """What the address may expect: what its own took, else somewhat more than others' took, else what is usual."""
        times: dict[str, float] = dict(self._seen.get(kind, {}))
        if address in times:
            return times[address]
        known = list(times.values())
        return float(np.mean(known) + np.std(known)) if known else usual
