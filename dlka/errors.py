"""The project's own error, and what people are told of any error. Only DlkaError is something that they can mend."""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOG = logging.getLogger("dlka")
LONGEST = 80  # characters of a value in a sentence
# What the operating system says of the user's files and disk; any other OSError is a fault of the program.
OF_THE_MACHINE = {
    *(errno.ENOENT, errno.EACCES, errno.EIO, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EADDRINUSE, errno.EADDRNOTAVAIL),
}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# How torch and OpenCV say that an allocation failed; both raise errors of their own instead of MemoryError.
NO_MEMORY = ("can't allocate memory", "out of memory", "insufficient memory")


class DlkaError(ValueError):
    """What the user gave cannot be used. Its text is one sentence: what was expected, what came, what to do.

    A ValueError, so that programs that know nothing of the project catch it as one. The reverse does not hold: a
    ValueError that is no DlkaError is a fault of the program, and belongs as a traceback into the log.
    """


def of_the_machine(error: Exception) -> bool:
    """Whether the operating system refuses something about the user's own files, disk or network."""
    return isinstance(error, OSError) and error.errno in OF_THE_MACHINE


def short(value: object) -> str:
    """What came, for a sentence: the first characters of its repr."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more than 4300 digits; a list in a list in a list ...
        text = f"a value of type {type(value).__name__} that is too long to show"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def first_problem(error: Any, name: str) -> str:
    """Of a ValidationError of pydantic the first value that is wrong: where in `name`, what was expected, what came."""
    first = error.errors(include_url=False)[0]
    where, reason = ".".join([name, *map(str, first["loc"])]), first["msg"].removeprefix("Value error, ")
    return f"{where:.100}: {reason}" + (f", got {first['input']!r:.40}" if first["loc"] else "")


def check_new_file(file: Path, suffix: str) -> None:
    """Raises DlkaError where it has another suffix, exists already or has no folder to be in."""
    if file.suffix != suffix:
        raise DlkaError(f"{file}: expected a name that ends in {suffix}.")
    if file.exists():
        raise DlkaError(f"{file} exists already; give another name or remove it first.")
    if not file.parent.is_dir():
        raise DlkaError(f"{file.parent}: there is no such folder to write to.")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Inside, what a user has named is written: a DlkaError says where the operating system refuses it."""
    try:
        yield
    except OSError as error:
        if not of_the_machine(error) or error.errno in DISK_FULL:
            raise
        raise DlkaError(f"{path} cannot be written ({error.strerror}): give a name that can be.") from error


def make_folder(folder: str | Path) -> None:
    """Make a folder for output where it is not there. Raises DlkaError where it cannot be, or cannot be written to."""
    folder = Path(folder)
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise DlkaError(f"{folder}: expected a folder to write to, got a file: give another name.")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def last_line(said: str) -> str:
    """What a process that failed said last on stderr: of a traceback the line that says what happened."""
    return next((line.strip() for line in reversed(said.split("\n")) if line.strip()), "no reason given")


def message(error: Exception) -> str:
    """One sentence for the person who met this error; never empty.

    A DlkaError speaks for itself, and so do a machine without memory and a full disk. All else is a fault of the
    program: its traceback goes to the log beside a number, and the sentence gives that number.
    """
    text = " ".join(str(error).split())
    if isinstance(error, DlkaError) and text:
        return text
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in NO_MEMORY):
        return "There is not enough free memory for this picture here: try a smaller one, or a smaller input size."
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "The disk is full here, so that nothing can be written: free some of it, or try again later."
    number = secrets.token_hex(4)
    LOG.error("Fault %s", number, exc_info=error)
    return f"Something broke here, it was not your picture. The log has the details under the number {number}."


def line(error: Exception) -> str:
    """The same where files are the user's own: what the operating system refuses is said with the file's name."""
    if isinstance(error, OSError) and of_the_machine(error):
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."
    return message(error)
