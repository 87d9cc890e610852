"""The named endpoints through gradio's own client."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from ultralytics.utils import ASSETS

from dlka.analysis.examples import examples
from dlka.analysis.recipes import sums


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def bus():
    return handle_file(str(examples()["Bus stop"]))


def test_endpoints_are_named_and_typed(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    tools = {"/compare_image", "/list_stages", "/probe_cell"}  # where assistants are served
    assert set(endpoints) - tools == {
        "/compare",
        "/stages",
        "/offset_overlay",
        "/attention_overlay",
        "/probe",
        "/figure",
    }
    types = {p["parameter_name"]: p["python_type"]["type"] for p in endpoints["/offset_overlay"]["parameters"]}
    assert types["image"] == "filepath"
    assert types["tap"] == "int"
    assert types["opacity"] == "float"


def test_compare(client, bus):
    report, left, right, difference = client.predict(bus, api_name="/compare")
    assert report["picture"] == {"height": 1080, "width": 810}
    assert report["settings"]["dlka"] == "head"
    assert len(report["stages"]) == 6
    assert json.dumps(report)
    shapes = [cv2.imread(path).shape for path in (left, right, difference)]
    assert shapes[0] == shapes[1]


def test_stages(client, bus):
    stages = client.predict(bus, model="residual", api_name="/stages")
    assert [s["label"] for s in stages] == ["P3 5x5", "P3 7x7 d3", "P4 5x5", "P4 7x7 d3", "P5 5x5", "P5 7x7 d3"]
    assert stages[0]["cells"] == [80, 60]


def test_overlays(client, bus):
    arrows = client.predict(bus, api_name="/offset_overlay")
    flow = client.predict(
        bus, stage="P4 7x7 d3", kind="Flow colours", tap=49, scale_cells=2.0, api_name="/offset_overlay"
    )
    gate = client.predict(bus, reduction="channel", channel=3, api_name="/attention_overlay")
    pictures = [cv2.imread(path) for path in (arrows, flow, gate)]
    assert all(p.shape[1] == pictures[0].shape[1] for p in pictures)
    assert np.abs(pictures[0][:600].astype(int) - pictures[1][:600]).mean() > 1


def test_probe_counts_taps(client, bus):
    answer = client.predict(bus, 400.0, 500.0, api_name="/probe")
    assert [len(s["samples"]) for s in answer] == [25, 49] * 3
    # P3 of a 480 x 640 input: cell 8 px, picture 810 wide -> x cell 400 / 810 * 60
    assert answer[0]["cell"] == [37, 29]


def test_a_figure_comes_with_its_recipe(client, bus):
    arguments = {"view": "P4 5x5", "row": 8, "column": 7}
    recipe, svg, pdf, png, npz = client.predict(bus, "reads", arguments, size=320, api_name="/figure")
    assert recipe["figure"] == {"kind": "reads", "arguments": arguments}
    assert recipe["picture"]["example"] == "Bus stop"
    assert sums(dict(np.load(npz))) == recipe["arrays"]
    with open(pdf, "rb") as file:
        assert file.read(4) == b"%PDF"
    with open(svg, encoding="utf-8") as file:
        assert recipe["caption"] in file.read()
    assert cv2.imread(png).shape[1] == 960


@pytest.mark.parametrize(
    ("arguments", "endpoint", "says"),
    [
        ({"model": "../../etc/passwd"}, "/compare", "expected one of head, neck, residual"),
        ({"size": 33}, "/compare", "multiple of 32"),
        ({"confidence": 7.0}, "/compare", "expected 0 to 1"),
        ({"strength": 1e9}, "/compare", "Deformation"),
        ({"stage": "P9"}, "/offset_overlay", "expected one of P3 5x5"),
        ({"kind": "Magic"}, "/offset_overlay", "expected one of Magnitude, Arrows"),
        ({"tap": 26}, "/offset_overlay", "expected 0"),
        ({"block": "P6"}, "/attention_overlay", "expected one of P3"),
        ({"reduction": "channel", "channel": 999}, "/attention_overlay", "expected 0 to 79"),
        ({"x": 9000.0, "y": 1.0}, "/probe", "expected inside the picture"),
        ({"kind": "boxes", "arguments": {"side": 3}}, "/figure", "side: expected text; got 3"),
    ],
)
def test_refusals_are_sentences(client, bus, arguments, endpoint, says):
    with pytest.raises(AppError, match=says):
        client.predict(image=bus, api_name=endpoint, **arguments)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "Expected 3 values (image, model, size); got 0."),
        ([None, "neck", 640], "image: expected an uploaded picture, as gradio_client.handle_file sends it; got None."),
        (["data:image/png;base64,AAAA", "neck", 640], "image: expected an uploaded picture, "),
        ([{"path": "http://127.0.0.1:9/x.png", "meta": {"_type": "gradio.FileData"}}, "neck", 640], "image: expected"),
    ],
)
def test_a_request_that_does_not_fit_is_a_sentence(server, values, says):
    assert stages_of(server, *values).startswith(says)


@pytest.mark.parametrize("size", ["320", None, 320.5, True, [320], 10**30])
def test_a_value_of_another_type_is_named(server, client, bus, size):
    with pytest.raises(AppError, match=r"(size: expected a whole number|size: expected a multiple of 32).*got"):
        client.predict(bus, "neck", size, api_name="/stages")


def test_broken_picture_is_a_sentence(client, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    with pytest.raises(AppError, match="starts like a JPEG picture but is damaged"):
        client.predict(handle_file(str(tmp_path / "broken.jpg")), api_name="/compare")


def stages_of(server, *values):
    """What a program that speaks HTTP gets: the error's text, None for an answer. It comes back when it is told to."""
    request = urllib.request.Request(
        f"{server.rstrip('/')}/gradio_api/call/stages",
        data=json.dumps({"data": values}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        event = json.load(urllib.request.urlopen(request))["event_id"]
    except urllib.error.HTTPError as busy:
        time.sleep(int(busy.headers["Retry-After"]))
        return stages_of(server, *values)
    answer = urllib.request.urlopen(f"{server.rstrip('/')}/gradio_api/call/stages/{event}").read().decode()
    return json.loads(answer.split("data: ", 1)[1])["error"] if "event: error" in answer else None


def test_files_of_the_server_cannot_be_asked_for(server):
    """A caller may name only files that were uploaded, in whatever form."""
    meta, picture = {"_type": "gradio.FileData"}, str(next(Path(ASSETS).glob("*.jpg")))
    for image in (
        {"path": "/etc/passwd", "meta": meta},
        {"path": picture, "meta": meta},
        {"path": picture},
        {"path": picture, "meta": {}},
        picture,
    ):
        said = stages_of(server, image, "neck", 640)
        assert said.startswith("image: expected an uploaded"), image
        assert "root:" not in said
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server.rstrip('/')}/gradio_api/file=/etc/passwd")
