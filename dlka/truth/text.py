"""Label files as text: UTF-8, of bounded size, from a file that is one."""

from __future__ import annotations

import os
from pathlib import Path

from dlka.errors import DlkaError

MAX_BYTES = 20 * 2**20  # of a label file


class TruthRefused(DlkaError):
    """Labels that cannot be used; one sentence with the file, and the line where there is one."""


def read_bytes(path: Path) -> bytes:
    """At most MAX_BYTES + 1 bytes of a file, for `text_of`. Raises TruthRefused for a pipe, a device or a folder, which
    might never end."""
    if not os.path.isfile(path):
        raise TruthRefused(f"{path}: expected a file, got none.")
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def text_of(data: bytes, file: str, limit: int = MAX_BYTES) -> str:
    """A label file's text. Raises TruthRefused for files of more than `limit` bytes, and for no text in UTF-8."""
    if len(data) > limit:
        raise TruthRefused(f"{file} is larger than {limit >> 20} MB: expected a smaller label file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        looks = _looks_like(data)
    told = f" (it looks like {looks}); save it as UTF-8" if looks else ": expected a text file in UTF-8"
    raise TruthRefused(f"{file} is not UTF-8{told}.")


def _looks_like(data: bytes) -> str | None:
    """The encoding that editors and spreadsheets write in the place of UTF-8, where the bytes tell it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    try:
        text = data.decode("gbk")
    except UnicodeDecodeError:
        return None
    # Many a text in a western encoding can be decoded as GBK, but not to characters that are in common use.
    common = text.encode("gb2312", "ignore")
    return "GBK" if 2 * _above_ascii(common) > _above_ascii(data) else None


def _above_ascii(data: bytes) -> int:
    return len(data.translate(None, bytes(range(128))))
