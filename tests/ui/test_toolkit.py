"""gradio as the page imports it: the same library, without files written beside its source."""

from __future__ import annotations

import importlib
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
        with toolkit.without_source_files(package):
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


@pytest.mark.slow
def test_gradio_is_whole_without_its_interface_files():
    """In a fresh process: no interface file is read to be written, all components are there, classes have files, and
    uploads go where the page's other files are."""
    code = """
import inspect
from pathlib import Path
opened = []
read = Path.read_text
Path.read_text = lambda path, *rest, **named: opened.append(path) or read(path, *rest, **named)
import dlka.ui.page_queue  # which imports parts of gradio
from dlka.ui.toolkit import gr
assert not [path for path in opened if path.suffix == ".pyi"], opened
from gradio import mcp, route_utils
from dlka import temporary
assert mcp.DEFAULT_TEMP_DIR == route_utils.DEFAULT_TEMP_DIR == temporary.folder()
assert inspect.getfile(gr.Image).endswith("image.py")
for name in ("Image", "ImageSlider", "Radio", "Slider", "Dropdown", "State", "HTML", "File", "Markdown"):
    assert callable(getattr(gr, name)), name
assert callable(gr.Image.upload) and callable(gr.Slider.input)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_package_that_wants_its_files_is_imported_plainly(tmp_path, monkeypatch):
    """It fails half-way, after one of its modules was ready; then everything is imported once more, with files."""
    package = tmp_path / "insists"
    package.mkdir()
    (package / "__init__.py").write_text("from insists import ready\nfrom insists.late import Late\n")
    (package / "ready.py").write_text("")
    (package / "late.py").write_text("import inspect\nclass Late: pass\nfile = inspect.getfile(Late)\n")
    (tmp_path / "insists_not.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    other = importlib.import_module("insists_not")
    before = inspect.getfile
    toolkit.import_ahead("insists")
    assert inspect.getfile is before
    assert [name for name in sys.modules if name.startswith("insists")] == ["insists_not"]
    assert importlib.import_module("insists").late.file.endswith("late.py")
    toolkit.import_ahead("insists_not")
    assert sys.modules["insists_not"] is other


@pytest.mark.slow
def test_the_page_gets_gradio_where_gradio_insists_on_files():
    """In a fresh process, with a gradio that lets the error of a class without a file pass."""
    code = """
import sys
from importlib.machinery import SourceFileLoader
whole, changed = SourceFileLoader.get_code, []
def get_code(loader, name):
    if name != "gradio.component_meta":
        return whole(loader, name)
    changed.append(name)
    source = loader.get_data(loader.path)
    assert source.count(b"except OSError") == 1
    return compile(source.replace(b"except OSError", b"except KeyError"), loader.path, "exec")
SourceFileLoader.get_code = get_code
from dlka.ui.toolkit import gr
assert len(changed) == 2, changed  # ahead in vain, then plainly
from gradio.components import Image
assert gr.Image is Image is sys.modules["gradio.components.image"].Image
with gr.Blocks() as app:
    gr.Image().upload(lambda x: x, gr.State(), gr.Slider())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
