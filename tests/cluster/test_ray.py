"""A local Ray cluster of two workers, in a child process that may be stopped: a hanging Ray hangs nothing."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from dlka.cli import main
from dlka.drawn.scenes import write_data_set

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 480.0  # seconds, on however busy a machine


@contextmanager
def child(*argv: str) -> Iterator[psutil.Popen]:
    """A process of its own group, of which nothing is left behind."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = psutil.Popen(argv, cwd=ROOT, env=environment, start_new_session=True, stdout=-1, stderr=-2, text=True)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):  # it has ended, and Ray with it
            for left in [*process.children(recursive=True), process]:
                left.kill()
        process.wait()


def dlka(*argv: str):
    return child(sys.executable, "-m", "dlka", *argv)


def until(there, process: psutil.Popen):
    """What `there` gives as soon as it gives something."""
    begin = time.monotonic()
    while not (found := there()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - begin < LIMIT
        time.sleep(0.02)
    return found


def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "*.parquet").sort("picture", "kind", "area", "dlka_index", "baseline_index")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_data_set(folder, count=1, seed=4, val=24)
    (folder / "images/val/bad.png").write_bytes(b"no picture")
    return folder


def test_a_worker_that_is_killed_loses_nothing(pictures, tmp_path):
    asked = [str(pictures / "images/val"), "--labels", str(pictures / "labels/val"), str(pictures / "data.yaml")]
    asked += ["--model", "scenes", "--size", "640", "--block", "2"]
    out = tmp_path / "ray"
    with dlka("many", *asked, "--out", str(out), "--engine", "ray", "--workers", "2") as process:

        def workers() -> list[psutil.Process]:
            named = ((one, "".join(one.cmdline())) for one in process.children(recursive=True))
            return [one for one, name in named if name.startswith("ray::") and "RowComparer" in name]

        until(lambda: list(out.glob("part-*")), process)
        heard = {
            address.laddr.ip
            for one in process.children(recursive=True)
            for address in one.net_connections("inet")
            if address.status == psutil.CONN_LISTEN
        }
        killed = until(workers, process)[0]
        os.kill(killed.pid, signal.SIGKILL)
        assert len(list(out.glob("part-*"))) < 13, "it was not in the middle"
        said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 1, said
    assert "25 pictures: 24 compared, 1 failed." in said
    assert {socket.gethostbyname("localhost"), "::ffff:127.0.0.1"} >= heard != set()
    assert main(["many", *asked, "--out", str(tmp_path / "local")]) == 1
    assert_frame_equal(rows(out), rows(tmp_path / "local"), check_exact=False, abs_tol=1e-3)
    assert len(list(out.glob("*.parquet"))) == 13
    assert not list(out.glob(".*"))
    same = [(folder / "counts.json").read_text() for folder in (out, tmp_path / "local")]
    assert same[0] == same[1]


REPLICAS = """
import numpy as np
from dlka.analysis.examples import examples, first
from dlka.cluster.replicas import replicas
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import load_predictor

image = read_image(examples()[first("shapes")])
own = load_predictor("scenes")[0].predict(image, size=320)
with replicas(2):
    predictor = load_predictor("scenes")[0]
    predictor.model = None  # it does not look itself
    there = predictor.predict(image, size=320)
    for name in ("boxes", "scores", "classes", "cells"):
        np.testing.assert_allclose(getattr(there.detections, name), getattr(own.detections, name), atol=1e-3)
    assert len(there.captures) == len(own.captures) == 2
    for one, other in zip(there.captures, own.captures):
        np.testing.assert_allclose(one.offset, other.offset, atol=1e-4)
        assert one.offset.flags.owndata
    try:
        predictor.predict(image, size=320, intervention=Intervention(strength=float("nan")))
    except DlkaError as refusal:
        print(refusal)
again = load_predictor("scenes")[0]
assert again.elsewhere is None and len(again.predict(image, size=320).detections) == len(own.detections)
print("all is well")
"""


def test_replicas_answer_as_the_page_itself_would():
    with child(sys.executable, "-c", REPLICAS) as process:
        said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 0, said
    assert "The model's output is not finite" in said
    assert "all is well" in said
    assert "Traceback" not in said, "a refusal is no fault"


def test_ray_tune_trains_models_with_dlka(tmp_path):
    write_data_set(tmp_path / "drawn", 8, 0, 4)
    asked = ["--data", str(tmp_path / "drawn"), "--placement", "one-level", "--epochs", "1", "--size", "64"]
    with dlka("train", "--tune", "1", *asked, "--device", "cpu", "--run", str(tmp_path / "run")) as process:
        said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 0, said
    assert "AP of 1 trials: " in said
    assert "lr0 " in said
