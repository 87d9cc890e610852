"""The words of the page "Learn" and of its worksheet: one file a language, all with the same keys."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = {"en": "English", "de": "Deutsch", "zh": "中文"}  # the file's name -> what its readers call it
STEPS = ("letter", "taps", "stack", "offsets", "corners", "gate", "levels", "test", "volume")


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str = "en") -> dict[str, dict[str, Any]]:
    """What is said in a language: piece (page, each of STEPS, play, sheet) -> key -> text, "questions" a list."""
    return yaml.safe_load((Path(__file__).parent / f"{language}.yaml").read_text(encoding="utf-8"))
