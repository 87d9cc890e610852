"""No handler turns a fault of the program into a refusal: read from the source, not while running.

Who catches a broad kind of error (ValueError, Exception, ...) wraps a single call of another library, whose errors mean
what came in; or says so in the log; or raises it again. Our own functions raise DlkaError for what a user can mend.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BROAD = {
    "Exception",
    "BaseException",
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "LookupError",
    "AttributeError",
    "RuntimeError",
    "ArithmeticError",
    "AssertionError",
}
LOGS = {"message", "print_exc", "format_exc", "exception"}  # dlka.errors.message, traceback, logging
# File and function -> why its handler is right all the same.
ALLOWED = {
    ("images.py", "read_image"): "decoders fail lazily, at whatever is asked of an image first",
    ("ops/triton_probe.py", "start_error"): "the probe launches its kernel: compilers and drivers fail in many ways",
    ("ops/backends.py", "device_of"): "torch says by RuntimeErrors of several calls that a device is not there",
    ("ops/numba_jit.py", "kernel"): "numba's cache says by a RuntimeError that it has no folder",
    (
        "models/checkpoint.py",
        "_rows",
    ): "rows of a checkpoint's yaml are whatever its author wrote: none are usual",
    ("models/checkpoint_child.py", "main"): "of all errors only those that say that there is no memory",
    ("ui/toolkit.py", "import_ahead"): "it is tried ahead of the import that counts, which fails aloud",
}


def handlers():
    """(file, function, our names in the file, body of the try, of the handler, what it catches), package-wide."""
    for path in sorted((ROOT / "dlka").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = _own_names(tree)
        for function, node in _with_function(tree):
            if isinstance(node, ast.Try):
                for handler in node.handlers:
                    yield path, function, own, node.body, handler.body, _names(handler.type)
            elif isinstance(node, ast.With):
                for item in node.items:
                    call = item.context_expr
                    if isinstance(call, ast.Call) and _called(call) == "suppress":
                        caught = {name for argument in call.args for name in _names(argument)}
                        yield path, function, own, node.body, [], caught


def _with_function(node, name=""):
    """Every node below, with the name of the function that it is in."""
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield inner, child
        yield from _with_function(child, inner)


def _own_names(tree):
    """What a file takes from the package or defines itself: to call it is no call of another library."""
    names = {"self", "cls"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dlka":
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def _names(node):
    if node is None:
        return {"BaseException"}
    if isinstance(node, ast.Tuple):
        return {name for element in node.elts for name in _names(element)}
    return {node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "?"}


def _called(call):
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _root(node):
    """The name that a call begins with: `json` of json.loads(text), `super` of super().predict()."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return ""
    return node.id


def _is_single_foreign_call(body, own):
    calls = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    plain = len(body) == 1 and not isinstance(body[0], ast.For | ast.While)
    return plain and bool(calls) and not any(_root(call) in own for call in calls)


def _is_open(handler):
    """Whether a handler hides nothing: its end raises the same error, or it writes a traceback."""
    if handler and isinstance(handler[-1], ast.Raise) and handler[-1].exc is None:
        return True
    calls = (node for statement in handler for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(_called(call) in LOGS for call in calls)


def wrong(found):
    *_, own, body, handler, caught = found
    return bool(caught & BROAD) and not _is_single_foreign_call(body, own) and not _is_open(handler)


def test_no_handler_hides_a_fault_of_the_program():
    hiding = {
        (path.relative_to(ROOT / "dlka").as_posix(), function) for path, function, *rest in filter(wrong, handlers())
    }
    assert hiding - set(ALLOWED) == set()
    assert set(ALLOWED) - hiding == set(), "a reason that nothing needs any more"


@pytest.mark.parametrize(
    ("body", "hides"),
    [
        ("try:\n    x = json.loads(y)\nexcept ValueError:\n    x = None", False),
        ("try:\n    x = tuple(float(w) for w in y.split())\nexcept ValueError:\n    x = ()", False),
        ("try:\n    x = shape(y)\nexcept KeyError:\n    x = None", False),
        ("try:\n    x = own(y)\nexcept ValueError as error:\n    raise Refused(str(error))", True),
        ("try:\n    x = ours(y)\nexcept (OSError, ValueError):\n    x = None", True),
        ("try:\n    x = json.loads(ours(y))\nexcept ValueError:\n    x = None", True),
        ("try:\n    x = json.loads(y)\n    z = x['a'] + 1\nexcept (ValueError, KeyError):\n    x = None", True),
        ("try:\n    x = y[0]\nexcept IndexError:\n    x = None", True),
        ("try:\n    x = ours(y)\nexcept:\n    pass", True),
        ("try:\n    x = ours(y)\nexcept Exception as error:\n    print(message(error))", False),
        ("try:\n    x = ours(y)\nexcept Exception:\n    clean()\n    raise", False),
        ("try:\n    x = ours(y)\nexcept DlkaError:\n    x = None", False),
        ("with suppress(ValueError):\n    x = ours(y)", True),
        ("with contextlib.suppress(ValueError):\n    x = int(y)", False),
    ],
)
def test_what_counts_as_hiding(body, hides, tmp_path, monkeypatch):
    (tmp_path / "dlka").mkdir()
    code = "import json\nfrom dlka.a import ours\ndef own(y): ...\n" + body
    (tmp_path / "dlka" / "a.py").write_text(code)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert any(map(wrong, handlers())) == hides
