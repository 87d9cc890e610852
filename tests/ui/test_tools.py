"""The tools for assistants, through MCP's own client over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from dlka.analysis import suited
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.analysis.figures import figure
from dlka.images import read_image
from dlka.ui import tools


def ask(server, *questions):
    """The tools that the page offers, and the answers to questions (name, arguments), in one session."""

    async def run():
        async with (
            streamablehttp_client(f"{server.rstrip('/')}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            offered = (await client.list_tools()).tools
            return offered, [await client.call_tool(name, arguments) for name, arguments in questions]

    with ThreadPoolExecutor(1) as pool:  # in this thread the browser of other tests has a loop of its own
        return pool.submit(asyncio.run, run()).result()


def numbers(answer):
    assert not answer.isError, answer.content[0].text
    return json.loads(answer.content[0].text)


@pytest.fixture(scope="module")
def answers(server):
    small = cv2.imencode(".png", cv2.resize(cv2.imread(str(examples()["Two people"])), (320, 180)))[1].tobytes()
    own = f"data:image/png;base64,{base64.b64encode(small).decode()}"
    return ask(
        server,
        ("list_stages", {"model": "residual", "example": "Two people"}),
        ("probe_cell", {"stage": "P3 5x5", "row": 20, "column": 30, "strength": 0.5}),
        ("compare_image", {"image": own}),
        ("probe_cell", {"stage": "P9", "row": 0, "column": 0}),
        ("compare_image", {"example": "Nope"}),
    ), small


def test_there_are_three_and_they_say_what_they_take(answers):
    (offered, _), _ = answers
    assert {tool.name for tool in offered} == {"compare_image", "list_stages", "probe_cell"}
    for tool in offered:
        assert len(tool.description) > 100
        for name, schema in tool.inputSchema["properties"].items():
            assert schema.get("description"), (tool.name, name)
    probe = next(tool for tool in offered if tool.name == "probe_cell")
    assert probe.inputSchema["required"] == ["stage", "row", "column"]


def test_stages(answers):
    told = numbers(answers[0][1][0])
    analysis = analyse_pixels(read_image(examples()["Two people"]), Settings(dlka="residual"))
    assert [stage["stage"] for stage in told["stages"]] == analysis.stage_labels
    assert told["stages"][3]["mean_px"] == analysis.stats[3].mean_px
    assert told["composed_views"] == ["P3 composed", "P4 composed", "P5 composed"]


def test_a_cell_has_pythons_numbers(answers):
    told = numbers(answers[0][1][1])
    settings = replace(suited.settings_for(suited.opening()), strength=0.5)
    analysis = analyse_pixels(read_image(examples()[suited.opening()]), settings)
    made = figure("reads", {"view": "P3 5x5", "row": 20, "column": 30}).drawn(analysis)
    assert told["caption"].startswith(f"Reads of scenes on {suited.opening()}, offsets x 0.5.")
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(np.array(told[name], array.dtype), array)
    picture = next(part for part in answers[0][1][1].content if part.type == "image")
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(picture.data), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(drawn[..., ::-1], made.paper.to_array())


def test_an_own_picture(answers):
    told = numbers(answers[0][1][2])
    assert told["picture"] == {"height": 180, "width": 320}
    analysis = analyse_pixels(read_image(answers[1]), Settings())
    assert len(told["objects"]) == len(analysis.pairing.pairs)


@pytest.mark.parametrize(("number", "says"), [(3, "Stage: expected one of P3 5x5"), (4, "Example: expected one of")])
def test_refusals_are_sentences(answers, number, says):
    answer = answers[0][1][number]
    assert answer.isError
    assert says in answer.content[0].text


def test_they_take_their_turn_as_everybody_does(server, monkeypatch):
    monkeypatch.setattr("dlka.ui.admission.PER_VISITOR", 0)
    _, (answer,) = ask(server, ("list_stages", {"example": "Two people"}))
    assert answer.isError
    assert "0 of your own questions are being answered: try again in about 1 s." in answer.content[0].text


def test_without_the_extra_there_are_none(monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    assert not tools.available()
