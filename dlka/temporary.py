"""The one folder of the process for files that pages show and visitors send: bounded in bytes, gone with the process.

gradio is told (GRADIO_TEMP_DIR, in toolkit.py) to put uploads there too. What is written counts at once, what gradio
has written as soon as all is counted anew; then the oldest files make room.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

LIMIT = 2**30  # bytes
ROOM = 0.9  # of the limit stays full when files make room, so that this is not done for every new file
RECOUNT = 20.0  # seconds after which a new file has everything counted
NEW = 10.0  # seconds in which a process has its folder locked
PREFIX, LOCK = "dlka-", ".lock"

_lock = threading.Lock()
_held: list[FileLock] = []
lasting: set[str] = set()  # paths of files that stay as long as the process
used, _counted = 0, 0.0  # bytes at least since the last count; time.monotonic() of that count


@lru_cache(maxsize=1)
def folder() -> str:
    """The folder, which lives as long as the process. What processes that were killed have left is removed first."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    remove_left(parent)
    made = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    _held.append(FileLock(Path(made, LOCK)))
    _held[0].acquire()  # until the process ends, however it ends
    atexit.register(_remove, made, os.getpid())
    return made


def write(data: bytes, name: str, kept: bool = False) -> str:
    """Path of a new file with this content; kept: as long as the process lives, for what every new visitor is given."""
    path = Path(new_folder()) / name
    write_to(path, data)
    if kept:
        lasting.add(str(path))
    return str(path)


def new_folder() -> str:
    """A new folder inside it for several files that belong together."""
    os.makedirs(folder(), mode=0o700, exist_ok=True)  # whoever tidies /tmp may have taken it
    return tempfile.mkdtemp(dir=folder())


def write_to(path: Path, data: bytes) -> None:
    """Write a file that lies somewhere inside the folder, whole or not at all."""
    make_room(len(data))
    try:
        path.write_bytes(data)
        path.chmod(0o644)
    except OSError:  # most likely a full disk
        path.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Remove a file that was kept."""
    lasting.discard(str(path))
    path.unlink(missing_ok=True)
    _remove_empty(path.parent)


def keep_all() -> None:
    """All files that are there now stay as long as the process lives: a page was built of them."""
    lasting.update(str(path) for path, _ in _files())


def make_room(size: int) -> None:
    """Tell that a file of so many bytes comes; the oldest files go where all would take more than LIMIT."""
    global used, _counted
    with _lock:
        used += size
        if used <= LIMIT and time.monotonic() - _counted < RECOUNT:
            return
        there = _files()
        used, _counted = size + sum(status.st_size for _, status in there), time.monotonic()
        if used <= LIMIT:
            return
        for path, status in sorted(there, key=lambda file: file[1].st_mtime_ns):
            if used <= ROOM * LIMIT:
                break
            if str(path) not in lasting:
                path.unlink(missing_ok=True)
                used -= status.st_size
                _remove_empty(path.parent)


def remove_when_stopped() -> None:
    """Let the signals that ask a process to end take the folder along; Python by itself ends at once by the first two.

    By the third, Ctrl-C, Python would wait for threads of the server, which idle for a while or, where the signal comes
    while the page starts, for ever.
    """

    def end(number: int, _: object) -> None:
        _remove(folder(), os.getpid())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    usual = {"SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL, "SIGINT": signal.default_int_handler}
    for name, handler in usual.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == handler:  # nohup has SIGHUP ignored
            signal.signal(number, end)


def _files() -> list[tuple[Path, os.stat_result]]:
    """Every file of the folder, but for the lock."""
    found = []
    for parent, _, names in os.walk(folder()):
        for name in names:
            path = Path(parent, name)
            try:
                found.append((path, path.lstat()))
            except FileNotFoundError:  # gone since
                continue
    return [file for file in found if file[0].name != LOCK]


def _remove_empty(parent: Path) -> None:
    if str(parent) != folder():
        try:
            parent.rmdir()
        except OSError:  # other files are in it
            return


def remove_left(parent: Path) -> None:
    """Remove the folders of this user whose process has ended without removing them."""
    for left in parent.glob(f"{PREFIX}*/{LOCK}"):
        try:
            status = left.parent.lstat()
            if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or time.time() - status.st_mtime < NEW:
                continue
            with FileLock(left, timeout=0):
                shutil.rmtree(left.parent, ignore_errors=True)
        except (Timeout, FileNotFoundError):  # its process lives, or another one is removing it
            continue


def _remove(path: str, owner: int) -> None:
    """Remove the folder, in the process that made it and in none that was forked from it."""
    for _ in range(10):  # other threads may still write into it
        if os.getpid() == owner and os.path.exists(path):
            shutil.rmtree(path, ignore_errors=True)
