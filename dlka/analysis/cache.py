"""Results that can be made again at any time are kept in memory, as many as there is room for: bounded in bytes."""

from __future__ import annotations

import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

LIMIT = 352 * 2**20  # bytes, of everything that the models have computed
PIXELS = 160 * 2**20  # bytes of decoded pictures beside it: one of the largest, or dozens of the usual size

Made = TypeVar("Made")


class Kept:
    """Values by their keys; the least recently used ones make room as soon as all take more than a limit in bytes.

    Nothing is lost with them, as each is asked for together with what makes it. A value above the limit by itself is
    made and handed out, and not kept. Safe to call from several threads: while one makes a value, others that ask for
    the same wait for it.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lasting: set[Hashable] = set()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The value of a key, made if it is not there. What `make` raises is raised, and nothing is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._values:  # made while this thread waited
                    return self._values[key][0]
            try:
                value = make()
                self.put(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def stay(self, key: Hashable) -> None:
        """From now on the value of this key never makes room."""
        with self._lock:
            self._lasting.add(key)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._values

    def put(self, key: Hashable, value: Any) -> None:
        """Keep this value for a key, instead of what was there."""
        size = byte_size((key, value))
        with self._lock:
            if size > self.limit and key not in self._lasting:
                return
            self.used += size - self._values.pop(key, (None, 0))[1]
            self._values[key] = value, size
            oldest = [k for k in self._values if k not in self._lasting and k != key] if self.used > self.limit else []
            for old in oldest:
                if self.used <= self.limit:
                    break
                self.used -= self._values.pop(old)[1]


STORE, PICTURES = Kept(LIMIT), Kept(PIXELS)


def kept(function: Callable[..., Made]) -> Callable[..., Made]:
    """Decorator: what a function of hashable arguments returns is kept in STORE. For results that nobody changes."""

    @functools.wraps(function)
    def asked(*arguments: Hashable) -> Made:
        return STORE.get((function, *arguments), lambda: function(*arguments))

    return asked


def byte_size(value: Any) -> int:
    """Bytes of memory that a value holds with all that it refers to; what it refers to twice counts once. Of an array
    that is a view, the whole array behind it counts. Code and classes count nothing."""
    total, seen, todo = 0, set(), [value]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, ModuleType) or callable(one):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, np.ndarray):
            # getsizeof counts what the array owns; what it does not own belongs to another array, or to a library.
            if isinstance(one.base, np.ndarray):
                todo.append(one.base)
            elif one.base is not None:
                total += one.nbytes
        elif isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            todo += one
        elif hasattr(one, "__dict__"):
            todo += vars(one).values()
    return total
