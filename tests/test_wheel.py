"""The package without its checkout: a wheel that is built here, installed elsewhere and used from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlka.analysis.examples import examples

ROOT = Path(__file__).resolve().parent.parent
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel is installed into; what it needs is here already."""
    folder = tmp_path_factory.mktemp("wheel")
    before = {path.name for path in ROOT.iterdir()}
    subprocess.run([*PIP, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder)], check=True)
    assert {path.name for path in ROOT.iterdir()} == before, "a build leaves nothing behind"
    (wheel,) = folder.glob("dlka-*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def use(installed, folder, *command):
    """Run a command of the installed package in a folder; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_installed_one_and_brings_its_files(installed, tmp_path):
    code = "import dlka, dlka.shipped as s; print(dlka.__file__, s.WEIGHTS, s.ASSETS, sep='\\n')"
    for path in use(installed, tmp_path, sys.executable, "-c", code).split():
        assert Path(path).is_relative_to(installed)
        assert Path(path).exists()
    for folder in (ROOT / "dlka", ROOT / "weights", ROOT / "assets"):
        files = {
            path.relative_to(ROOT) for path in folder.rglob("*.*") if path.is_file() and "__pycache__" not in path.parts
        }
        inside = installed if folder.name == "dlka" else installed / "dlka"
        fetched = {Path("weights/yolov8n.safetensors")}  # by a user, not the project's
        assert {path for path in files - fetched if not (inside / path).is_file()} == set()


def test_it_compares(installed, tmp_path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(examples()["Bus stop"].read_bytes())
    said = use(installed, tmp_path, sys.executable, "-m", "dlka", "compare", picture.name, "--out", "out")
    assert "1 picture: 1 compared, 0 failed." in said
    assert list((tmp_path / "out").rglob("*.json"))


def test_its_command_completes_and_says_its_version(installed, tmp_path):
    command = installed / "bin" / "dlka"
    assert use(installed, tmp_path, sys.executable, str(command), "--version").startswith("dlka 0.")
    said = use(installed, tmp_path, sys.executable, str(command), "completion", "bash")
    assert "--confidence" in said
    script = tmp_path / "complete.bash"
    script.write_text(said)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
