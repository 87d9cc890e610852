"""What holds for the source itself: its size, a reason behind every ignore, and that tests reach public names alone."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "dlka").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Lines of the package. It falls, or grows with a part that is new: last with cluster, nets, segment and deform_conv3d.
BUDGET = 34_100
LONGEST, LONGEST_TEST = 350, 400  # lines of a file
# Test files that are longer; nothing is added here.
LONGER = {
    *("analysis/test_labels.py", "export/test_export.py", "golden/page.py", "models/test_checkpoint_child.py"),
    *("models/test_weights.py", "ops/test_triton.py", "test_cli.py", "test_images.py", "test_layers.py"),
    *("test_watching.py", "test_yolo.py", "ui/test_learn_page.py"),
}
# Private names of other libraries that say what nothing public says.
FOREIGN = {
    "_forward_hooks": "torch: who listens to a module",
    "_forward_pre_hooks": "torch: who listens to a module",
    "_repr_html_": "IPython: what a notebook shows",
    "_repr_png_": "IPython: what a notebook shows",
    "_python_dispatch": "torch: the module of the next one",
    "_get_current_dispatch_mode_stack": "torch: which dispatch modes are on",
    "_get_tick": "matplotlib: what makes a tick",
    "_id": "gradio: a component's number in a request",
    "_queue": "gradio: the queue of a page",
    "_state_ttl": "gradio: when a session's state ends",
}
IGNORE = re.compile(r"#\s*(?:ruff:\s*)?noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|#\s*type:\s*ignore\b(?:\[[\w,-]+\])?")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def without_reason(text: str) -> list[int]:
    """Numbers of the lines whose `noqa` or `type: ignore` neither says why nor stands below a comment that does."""
    above = ["", *text.splitlines()]
    comments = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    bare = [t.start[0] for t in comments if IGNORE.search(t.string) and not IGNORE.sub("", t.string).strip(" -#()")]
    return [number for number in bare if not above[number - 1].lstrip().startswith("#")]


def private_names(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything private that is imported, taken from an object that is not `self`, or replaced."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            names = [node.attr]
        elif isinstance(node, ast.Call) and re.search(r"\b(get|set|del)attr$", ast.unparse(node.func)):
            names = [part for each in node.args for part in str(getattr(each, "value", "")).split(".")]
        yield from ((node.lineno, name) for name in names if name.startswith("_") and not name.endswith("__"))


def test_the_package_stays_within_its_budget():
    number = sum(len(lines(path)) for path in PACKAGE)
    assert number <= BUDGET, "take out as many lines as you bring in; moving them is no gain"
    assert number > BUDGET - 1000, f"the package has shrunk: lower BUDGET to {-(-number // 100) * 100}"


@pytest.mark.parametrize(("folder", "files", "longest"), [("dlka", PACKAGE, LONGEST), ("tests", TESTS, LONGEST_TEST)])
def test_no_file_is_long(folder, files, longest):
    long = {path.relative_to(ROOT / folder).as_posix() for path in files if len(lines(path)) > longest}
    assert long - LONGER == set(), "split by what it is about"


def test_every_ignore_has_a_reason():
    found = {path.relative_to(ROOT): without_reason(path.read_text(encoding="utf-8")) for path in PACKAGE + TESTS}
    assert {path: numbers for path, numbers in found.items() if numbers} == {}
    settings = lines(ROOT / "pyproject.toml")
    begun = settings.index("ignore = [")
    listed = settings[begun + 1 : settings.index("]", begun)]
    assert listed
    for line in [*listed, *(line for line in settings if re.search(r"ignore(?!.* = \[$)", line))]:
        assert re.search(r"\S # \S", line), f"{line}: say why"


def test_tests_reach_public_names_alone():
    found = [(path, *one) for path in TESTS for one in private_names(path.read_text(encoding="utf-8"))]
    strangers = [f"{path.relative_to(ROOT)}:{line}: {name}" for path, line, name in found if name not in FOREIGN]
    assert strangers == [], "test through what is public, or make it public and say what it is"
    assert {name for _, _, name in found} == FOREIGN.keys(), "no longer needed"


def test_files_that_texts_name_are_there():
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "dlka").rglob("*.*")]
    kinds = {".md", ".py", ".js", ".html", ".css", ".j2"}
    gone = [
        f"{text.relative_to(ROOT)}: {name}"
        for text in texts
        if text.suffix in kinds
        for name in re.findall(r"\bdlka/[\w/]+\.(?:py|js|html|css|yaml)\b", text.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert gone == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("import a  # noqa: F401\n", [1]),
        ("import a  # noqa: F401 - it registers b\n", []),
        ("# It registers b.\nimport a  # noqa: F401\n", []),
        ("a = b  # type: ignore[x,y]\na = b  # type: ignore[x]  # a stub is wrong\n", [1]),
        ("# ruff: noqa: RUF001\n", [1]),
        ('a = "# noqa"\n', []),
    ],
)
def test_what_counts_as_a_reason(text, numbers):
    assert without_reason(text) == numbers


@pytest.mark.parametrize(
    "text",
    ["from a import _b", "import a._b", "from a._b import c", "a._b", "a._b = 1", "patch.setattr('a._b', 1)"],
)
def test_what_counts_as_private(text):
    assert list(private_names(text)) == [(1, "_b")]
    assert list(private_names(text.replace("a.", "self.").replace("_b", "__b__"))) == []


# What CONTRIBUTING promises of the next one of a kind: the files that name the newest, docstrings and comments aside.
PLACES = {
    "a placement: models/configs, and its entry": ("one-level", {"models/placements.py"}),
    "an overlay of offsets": ("Flow colours", {"analysis/figures/pictures.py"}),
    "a tab": ("tab_adapt", {"ui/app.py"}),
    "a figure": ("ChangedSamples", {"analysis/figures/changes.py", "ui/tab_adapt.py"}),
    "a training flag: its field, and its use": ("offset_warmup", {"train/recipe.py", "train/recipe_trainer.py"}),
}
CHOOSES = ("bench/", "experiments/")  # which name some of a kind to measure them


@pytest.mark.parametrize(("name", "places"), PLACES.values(), ids=PLACES)
def test_few_places_know_one_of_a_kind(name, places):
    def is_known(path: Path) -> bool:
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        said = [
            t.string for t in tokens if t.type in (tokenize.NAME, tokenize.STRING) and not t.string.startswith('"""')
        ]
        return any(word == name or word.strip("\"'") == name for word in said)

    known = {path.relative_to(ROOT / "dlka").as_posix() for path in PACKAGE if is_known(path)}
    assert {path for path in known if not path.startswith(CHOOSES)} == places
