"""gradio, imported without its side work: every file of the page takes it from here.

While it is imported, gradio writes the signatures of all its components into interface files (.pyi) for editors, beside
its own source, at every start: a good part of its import (`python -m dlka bench page`). It leaves out classes whose
source file is not known.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from dlka import temporary


@contextmanager
def without_source_files(package: str) -> Iterator[None]:
    """Inside the context ``inspect.getfile`` knows no file of the package's classes, as if typed in a shell."""
    getfile = inspect.getfile

    def known(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith(f"{package}."):
            raise OSError(f"{thing} is being imported")
        return getfile(thing)

    inspect.getfile = known  # type: ignore[assignment]  # it takes more types
    try:
        yield
    finally:
        inspect.getfile = getfile


def import_ahead(package: str) -> None:
    """Import a package without source files; where that fails, leave nothing of it, so that it can be imported plainly.

    Only time is at stake: another version of the package may insist on its files.
    """
    with suppress(Exception), without_source_files(package):
        import_module(package)
        return
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]  # Python itself takes back the package, but not the submodules that were ready


os.environ["GRADIO_TEMP_DIR"] = temporary.folder()  # read while gradio is imported; files in it are not copied again
import_ahead("gradio")
import gradio as gr  # noqa: E402 - after what it reads and what it leaves out

__all__ = ["gr"]
