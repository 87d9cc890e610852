"""Frames of a video are compared as pictures are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dlka.cli import main
from dlka.errors import DlkaError
from dlka.video import with_frames


@pytest.fixture
def video(tmp_path):
    """Seven frames of 64 x 96 px, each darker than the one before."""
    path = tmp_path / "street.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(7):
        writer.write(np.full((64, 96, 3), 250 - 30 * number, np.uint8))
    writer.release()
    return path


def test_every_third_frame(video, tmp_path):
    files = with_frames(["a.png", str(video)], 3, tmp_path / "frames")
    assert files[0] == "a.png"
    assert [file.rpartition("/")[2] for file in files[1:]] == [f"street-00000{number}.png" for number in (0, 3, 6)]
    assert [round(cv2.imread(file).mean(), -1) for file in files[1:]] == [250, 160, 70]


def test_videos_of_the_same_name_keep_their_own_frames(video, tmp_path):
    other = tmp_path / "other" / "street.avi"
    other.parent.mkdir()
    writer = cv2.VideoWriter(str(other), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    writer.write(np.full((64, 96, 3), 20, np.uint8))
    writer.release()
    files = with_frames([str(video), str(other)], 6, tmp_path / "frames")
    assert [round(cv2.imread(file).mean(), -1) for file in files] == [250, 70, 20]


def test_what_is_no_video_is_one_sentence(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    for name, every, said in (
        ("no.mp4", 3, "not one frame"),
        ("none.mp4", 3, "no such video"),
        ("no.mp4", 0, "--every"),
    ):
        with pytest.raises(DlkaError, match=said):
            with_frames([str(tmp_path / name)], every, tmp_path)


def test_a_video_on_the_command_line(video, tmp_path, capsys):
    out = tmp_path / "out"
    argv = [str(video), "--model", "scenes", "--every", "6", "--size", "64", "--out", str(out)]
    assert main(["predict", *argv]) == 0
    assert capsys.readouterr().out.count("nothing") == 2
    assert main(["compare", *argv]) == 0
    assert "2 pictures: 2 compared, 0 failed." in capsys.readouterr().out
    assert (out / "street-000006" / "comparison.json").is_file()
