"""gradio as the page imports it: the same library, without files written beside its source."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from dlka.ui import toolkit


class Known:
    pass


def test_only_the_named_package_has_no_files_and_only_inside():
    package = __name__.partition(".")[0]
    here = inspect.getfile(Known)
    Known.__module__ = f"{package}.inner"
    try:
        with toolkit._without_source_files(package):
            with pytest.raises(OSError, match="is being imported"):
                inspect.getfile(Known)
            assert inspect.getfile(json_encoder()).endswith("encoder.py")
            assert inspect.getfile(inspect) == inspect.__file__
    finally:
        Known.__module__ = __name__
    assert inspect.getfile(Known) == here


def json_encoder():
    from json import JSONEncoder

    return JSONEncoder


def test_gradio_is_whole_without_its_interface_files():
    """In a fresh process: no interface file is read to be written, all components are there, classes have files."""
    code = """
import inspect
import dlka.ui
from pathlib import Path
opened = []
read = Path.read_text
Path.read_text = lambda path, *rest, **named: opened.append(path) or read(path, *rest, **named)
from dlka.ui.toolkit import gr
assert not [path for path in opened if path.suffix == ".pyi"], opened
from gradio import component_meta
assert inspect.getfile(gr.Image).endswith("image.py")
for name in ("Image", "ImageSlider", "Radio", "Slider", "Dropdown", "State", "HTML", "File", "Markdown"):
    assert callable(getattr(gr, name)), name
assert callable(gr.Image.upload) and callable(gr.Slider.input)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
