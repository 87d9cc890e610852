"""What the page "Learn" and its worksheet share: their words, one file a language, all with the same keys; the sheet of
the playground, and the map that the step on bilinear reading reads."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

FOLDER = Path(__file__).parent
LANGUAGES = {"en": "English", "de": "Deutsch", "zh": "中文"}  # the file's name -> what its readers call it
STEPS = ("letter", "taps", "stack", "offsets", "corners", "gate", "levels", "test", "volume")
SHEET = 320  # px: side of the playground's sheet, and of the model's input that it becomes
EXAMPLE_MAP = np.array([[0, 1, 2, 1], [2, 8, 6, 0], [1, 6, 9, 3], [0, 2, 4, 1]])  # made up, easy to add
EXAMPLE_POINT = 2.6, 0.5  # (y, x) where it is read at first: from there training leads to the largest value
ASKED_POINT = 1.25, 2.5  # where the question is


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str = "en") -> dict[str, dict[str, Any]]:
    """What is said in a language: piece (page, each of STEPS, play, sheet) -> key -> text, "questions" a list."""
    return yaml.safe_load((FOLDER / "words" / f"{language}.yaml").read_text(encoding="utf-8"))
