"""Where a picture comes from: the file's name and bytes, and the example that it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dlka.models.checkpoint import sha256
from dlka.ui.examples import examples


@dataclass(frozen=True)
class Source:
    """A picture's file: its name, the SHA-256 of its bytes, and its label where it is one of the examples."""

    name: str
    sha256: str
    example: str | None = None


def source_of(path: str | Path) -> Source:
    """What a picture's file is, whatever it is called: an example is known by its bytes."""
    digest = sha256(path)
    return Source(Path(path).name, digest, _labels().get(digest))


@lru_cache(maxsize=1)
def _labels() -> dict[str, str]:
    """SHA-256 of every example's file -> its label."""
    return {sha256(path): label for label, path in examples().items()}


def lasting_file(source: Source) -> str | None:
    """The file of an example, which is there as long as the process lives; None for any other picture."""
    return str(examples()[source.example]) if source.example else None
