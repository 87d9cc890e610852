"""On ZeroGPU models run where the Space's decorator has them run, and nothing else does. There is a stand-in for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from dlka.analysis.analysis import Settings, analyse
from dlka.analysis.examples import examples
from dlka.analysis.pairing import rows
from dlka.bench.visitor import running_page
from dlka.inference.predictor import Predictor
from dlka.ui import zero_gpu

STAND_IN = Path(__file__).with_name("spaces_stand_in")
SETTINGS = Settings("head", "control", size=320)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The file of what ran on a GPU, of a page that the stand-in is installed beside."""
    return tmp_path_factory.mktemp("space") / "calls"


@pytest.fixture(scope="module")
def client(calls):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        patch.setenv("SPACES_CALLS", str(calls))
        with running_page() as (url, _):
            assert not calls.exists(), "a start costs nobody's time on a GPU"
            yield Client(url, verbose=False, download_files=calls.parent)


@pytest.fixture(scope="module")
def bus():
    return handle_file(str(examples()["Bus stop"]))


def called(calls):
    return [json.loads(line) for line in calls.read_text().splitlines()]


@pytest.mark.slow
def test_a_comparison_runs_both_models_there_and_keeps_what_they_said_here(client, calls, bus):
    asked = {"model": "head", "size": 320}
    report = client.predict(bus, **asked, api_name="/compare")[0]
    ran = [{"method": "predict_all", "file": f"{model}.safetensors", "fine": True} for model in ("head", "control")]
    assert called(calls) == ran
    here = analyse(examples()["Bus stop"], SETTINGS)
    wanted = rows(here.pairing, here.names)
    assert [row["class"] for row in report["objects"]] == [row["class"] for row in wanted]
    for got, want in zip(report["objects"], wanted):
        assert got["dlka_score"] == (want["dlka_score"] and pytest.approx(want["dlka_score"], abs=1e-3))
    client.predict(bus, **asked, api_name="/stages")
    assert called(calls) == ran, "what was seen is known to the page"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "arguments", "methods"),
    [
        ("receptive field", {"stage": "P4 5x5", "row": 8, "column": 7}, {"receptive_field"}),
        ("box evidence", {"box": "dlka 0", "side": "dlka", "of": "gradient"}, {"box_origins", "box_gradients"}),
    ],
)
def test_whatever_asks_a_model_once_more(client, calls, bus, kind, arguments, methods):
    before = len(called(calls)) if calls.exists() else 0
    client.predict(bus, kind, arguments, model="head", size=320, api_name="/figure")
    ran = called(calls)[before:]
    assert {call["method"] for call in ran} - {"predict_all"} == methods
    assert all(call["fine"] for call in ran)


@pytest.mark.slow
def test_without_a_free_gpu_the_cpu_answers(client, calls, bus):
    before = calls.read_text() if calls.exists() else ""
    calls.with_name("full").touch()
    try:
        report = client.predict(bus, model="residual", size=320, api_name="/compare")[0]
    finally:
        calls.with_name("full").unlink()
    assert len(report["stages"]) == 6
    assert (calls.read_text() if calls.exists() else "") == before


@pytest.mark.parametrize("spaces", ["", "def GPU(duration):\n    return lambda function: function\n"])
def test_anywhere_else_nothing_changes(spaces, tmp_path, monkeypatch):
    """Without the package, and with it where it has no effect."""
    if spaces:
        (tmp_path / "spaces.py").write_text(spaces)
        monkeypatch.syspath_prepend(tmp_path)
    zero_gpu.use()
    sys.modules.pop("spaces", None)
    assert Predictor.elsewhere is None


@pytest.mark.slow
def test_nothing_asks_for_cuda_before_the_package_is_imported():
    """It answers for torch from then on; who asked before it would find no GPU in any forked process."""
    script = (
        "import torch\n"
        "def asked(*_): raise SystemExit('CUDA was asked for')\n"
        "torch._C._cuda_getDeviceCount = torch._C._cuda_init = asked\n"
        "import dlka.ui.app\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
