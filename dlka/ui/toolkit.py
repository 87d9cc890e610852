"""gradio, imported in half the time: every file of the page takes it from here.

While it is imported, gradio writes the signatures of all its components into interface files (.pyi) for editors, beside
its own source; that is half of its import, at every start. It leaves out classes whose source file is not known.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without_source_files(package: str) -> Iterator[None]:
    """Inside the context ``inspect.getfile`` knows no file of the package's classes, as if typed in a shell."""
    getfile = inspect.getfile

    def known(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith(f"{package}."):
            raise OSError(f"{thing} is being imported")
        return getfile(thing)

    inspect.getfile = known  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile


with _without_source_files("gradio"):
    import gradio as gr

__all__ = ["gr"]
