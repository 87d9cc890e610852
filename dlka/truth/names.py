"""What a data set calls its classes, and which of them a model knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeVar

from dlka.safe_yaml import YamlRefused, plain_yaml
from dlka.truth.text import TruthRefused, text_of

MAX_CLASSES = 10_000
MAX_NAME = 100  # characters
MAX_BYTES = 2**20  # of a text of names

Id = TypeVar("Id", int, str)


def parse_names(data: bytes, file: str) -> dict[int, str]:
    """Class id -> name of a yaml, or of a text with a name a line (classes.txt, obj.names). Raises TruthRefused."""
    text = text_of(data, file, MAX_BYTES)
    if is_yaml(file):
        return class_names(yaml_mapping(text, file), file)
    return _checked([line.strip() for line in text.rstrip().splitlines()], file)


def is_yaml(file: str) -> bool:
    """Whether a file is one by the end of its name."""
    return file.lower().endswith((".yaml", ".yml"))


def yaml_mapping(text: str, file: str) -> dict[Any, Any]:
    """A yaml's mapping, empty where it holds something else. Raises TruthRefused."""
    try:
        content = plain_yaml(text, file)
    except YamlRefused as error:
        raise TruthRefused(str(error)) from None
    return content if isinstance(content, dict) else {}


def class_names(content: Mapping[Any, Any], file: str) -> dict[int, str]:
    """Class id -> name, as Ultralytics reads a data set's yaml: `names` is a list, or a mapping whose keys are numbers
    or texts of them; with only their number `nc` they are called class_0, class_1 and so on. Raises TruthRefused.
    """
    names, count = content.get("names"), content.get("nc")
    number = _whole(count)
    if count is not None and (number is None or not 1 <= number <= MAX_CLASSES):
        raise TruthRefused(f"{file}: expected 'nc', the number of classes, from 1 to {MAX_CLASSES}, got {count!r:.40}.")
    if names is None and number is not None:
        return {i: f"class_{i}" for i in range(number)}
    if isinstance(names, dict):
        by_number = {_whole(key): name for key, name in names.items()}
        if len(by_number) < len(names) or by_number.keys() != set(range(len(names))):
            raise TruthRefused(f"{file}: expected class names numbered from 0 under 'names', got {list(names)!r:.60}.")
        names = [by_number[i] for i in range(len(by_number))]
    if not isinstance(names, list):
        raise TruthRefused(f"{file}: expected class names, a list or numbered from 0, under 'names'.")
    found = _checked(names, file)
    if number not in (None, len(found)):
        raise TruthRefused(f"{file}: 'nc' is {number}, and there are {len(found)} names.")
    return found


def same_names(names: Mapping[Id, str], known: Mapping[int, str], file: str) -> dict[Id, int]:
    """Class ids of the labels -> ids of the models' classes of the same name; classes that models lack are left out.

    Where no name is the very same, upper case, lower case, blanks, "-" and "_" make no difference. Raises TruthRefused
    where no class is known.
    """
    exact = {name: number for number, name in known.items()}
    alike = {_plain(name): number for number, name in known.items()}
    found = {number: exact.get(name, alike.get(_plain(name))) for number, name in names.items()}
    ids = {number: known_as for number, known_as in found.items() if known_as is not None}
    if not ids:
        raise TruthRefused(
            f"{file}: its classes are {_some(names)}; the models know {_some(known)}: expected some of the same names."
        )
    return ids


def _checked(names: list[Any], file: str) -> dict[int, str]:
    if not 1 <= len(names) <= MAX_CLASSES:
        raise TruthRefused(f"{file}: expected 1 to {MAX_CLASSES} class names, got {len(names)}.")
    texts = [str(name) if isinstance(name, str | int | float | date) else "" for name in names]
    wrong = next((i for i, text in enumerate(texts) if not 0 < len(text.strip()) <= MAX_NAME), None)
    if wrong is not None:
        raise TruthRefused(
            f"{file}: expected class names of 1 to {MAX_NAME} characters, got {names[wrong]!r:.60} for class {wrong}."
        )
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise TruthRefused(f"{file}: two classes are called {text!r:.60}; give each its own name.")
        seen.add(text)
    return dict(enumerate(texts))


def _whole(value: object) -> int | None:
    """A whole number, also as 3.0 or "3"; None for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= len(str(MAX_CLASSES)):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _some(names: Mapping[Any, str]) -> str:
    shown = ", ".join(f"{name:.30}" for name in list(names.values())[:4])
    return shown + (", ..." if len(names) > 4 else "") if names else "none"
