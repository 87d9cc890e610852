"""What the README tells people to type works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    return [line for block in blocks("bash") for line in block.splitlines() if line.startswith("python -m dlka")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("snippet", "said"), zip(blocks("python"), ["P3 7x7 d3 (98, 60, 80)", "'kernel': (3, 3)", "3425864"], strict=True)
)
def test_python_snippets_run(snippet, said):
    done = subprocess.run([sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line):
    """Every option that the README shows exists; nothing is run."""
    from dlka.cli import build_parser

    words = shlex.split(line, comments=True)[3:]
    assert build_parser().parse_args(words) is not None


def test_two_commands_do_everything():
    start, suite = [block.strip() for block in blocks("bash")[:2]]
    assert start.endswith("-r requirements.txt && .venv/bin/python app.py")
    assert suite.endswith("-r tests/requirements.txt && .venv/bin/python -m pytest -n 2")
    assert suite in (ROOT / "README.md").read_text()
    assert "grep -m1 'tests/requirements.txt' README.md" in (ROOT / ".ci" / "run").read_text()
    assert README.index(suite) == README.index(next(x for x in README.splitlines() if "tests/requirements.txt" in x))


def test_front_matter_describes_a_space():
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert front["license"] == "agpl-3.0"
    # What Spaces take: https://huggingface.co/docs/hub/spaces-config-reference
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert len(front["short_description"]) <= 60
    assert front["python_version"] in ("3.10", "3.12"), "those that ZeroGPU takes"
    wanted = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("gradio"))
    assert front["sdk_version"] in Requirement(wanted).specifier


def test_pictures_and_files_exist():
    for link in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / link).is_file(), link
    for file in re.findall(r"`(weights/README\.md|packages\.txt)`", README):
        assert (ROOT / file).is_file(), file
