"""Frames of videos as pictures. OpenCV, which ultralytics brings, reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2

from dlka.errors import DlkaError, make_folder

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")


def with_frames(files: Iterable[str], every: int, folder: Path) -> list[str]:
    """The same files, with a video replaced by frames of it: STEM-NUMBER.png in the folder, numbered from 0; a second
    video of the same stem has the folder 2 in it.

    every: of so many frames the first is taken. Raises DlkaError for a video that cannot be read.
    """
    if every < 1:
        raise DlkaError(f"--every: expected 1 or more frames; got {every}.")
    pictures: list[str] = []
    stems: Counter[str] = Counter()
    for file in files:
        if not file.lower().endswith(VIDEOS):
            pictures.append(file)
            continue
        stem = Path(file).stem.casefold()
        stems[stem] += 1
        pictures += _frames(Path(file), every, folder if stems[stem] == 1 else folder / str(stems[stem]))
    return pictures


def _frames(video: Path, every: int, folder: Path) -> list[str]:
    if not video.is_file():
        raise DlkaError(f"{video}: there is no such video.")
    reader, written, number = cv2.VideoCapture(str(video)), [], 0
    make_folder(folder)
    while reader.grab():
        if number % every == 0:
            there, frame = reader.retrieve()
            if there:
                written.append(str(folder / f"{video.stem}-{number:06}.png"))
                cv2.imwrite(written[-1], frame)
        number += 1
    reader.release()
    if not written:
        raise DlkaError(f"{video}: expected a video of a kind that OpenCV reads; not one frame could be read.")
    return written
