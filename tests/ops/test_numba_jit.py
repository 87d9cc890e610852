"""What is kept of the kernels on disk is used again, and never after any of their sources changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlka.ops import numba_jit
from dlka.ops.numba_jit import SOURCES, inlined, kernel, sources

OPS = Path(numba_jit.__file__).parent


@inlined
def half(x):
    return x / 2


def quarter(x):
    return half(half(x))


def loaded(function) -> int:
    """How often a kernel's machine code came from the disk."""
    compiled = kernel(function)
    assert compiled(3.0) == 0.75
    return sum(compiled.stats.cache_hits.values())


def test_machine_code_is_kept_for_one_version_of_the_sources(monkeypatch, tmp_path):
    found = []
    for stamp in ("one", "one", "two", "one"):
        monkeypatch.setattr(numba_jit.KernelCache, "stamp", f"{stamp} of {tmp_path}")
        found.append(loaded(quarter))
    assert found == [0, 1, 0, 1]


def made_of(name: str) -> set[str]:
    """A module of dlka.ops and what it imports from there."""
    text = (OPS / name).read_text()
    return {name}.union(
        *(made_of(f"{module}.py") for module in re.findall(r"^from dlka\.ops\.(\w+) import", text, re.M))
    )


def test_the_sources_are_all_that_kernels_are_made_of():
    assert set(SOURCES) == made_of("numba_kernels.py") | made_of("numba_columns.py")


@pytest.mark.parametrize("name", SOURCES)
def test_every_change_counts(name, monkeypatch):
    before, read = sources(), Path.read_bytes
    assert numba_jit.KernelCache.stamp == before
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == name))
    assert sources() != before


def test_without_a_folder_to_write_to(monkeypatch):
    def nowhere(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(numba_jit, "KernelCache", nowhere)
    assert loaded(quarter) == 0
