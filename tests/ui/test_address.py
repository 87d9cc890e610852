"""What an address says and what is read from one, without a page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dlka import render
from dlka.analysis import suited
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.ui import address

TABS = ("See", "Objects")


@pytest.fixture(scope="module")
def analysis():
    file = examples()["Two people"]
    settings = Settings(dlka="residual", size=320, strength=0.5, classes=("person", "tie"))
    return analyse_pixels(read_image(file), settings, source_of(file))


def test_what_is_written_is_read(analysis):
    query = f"?{address.encode(analysis)}&{address.encode_place('P4 composed', (3, 4))}&tab=See"
    asked = address.decode(query, TABS)
    assert (asked.example, asked.settings, asked.tab) == ("Two people", analysis.settings, "See")
    assert (asked.stage, asked.cell, asked.wrong) == ("P4 composed", (3, 4), ())


def test_an_empty_address_is_the_page_as_it_opens():
    asked = address.decode("", TABS)
    opens = suited.opening()
    assert (asked.settings, asked.example, asked.wrong) == (suited.settings_for(opens), opens, ())
    assert address.complaint(asked) == ""


def test_a_link_of_before_opens_what_its_tab_became():
    assert [address.decode(f"tab={tab}", TABS).tab for tab in ("Offsets", "Boxes", "See")] == ["See", "Objects", "See"]


def test_an_example_brings_its_models_and_a_model_an_example():
    street = address.decode("example=Bus+stop", TABS)
    assert (street.settings, street.example) == (Settings("head", "control"), "Bus stop")
    assert address.decode("model=neck", TABS).example == "Bus stop"
    scene = address.decode("model=scenes-rigid&example=Bus+stop", TABS)
    assert (scene.example, scene.settings.dlka) == ("Bus stop", "scenes-rigid"), "what it says counts"
    assert address.decode("model=scenes", TABS).example == suited.opening()


def test_a_size_that_fits_is_not_said(analysis):
    image = read_image(examples()[suited.opening()])
    assert "size=&" in address.encode(analyse_pixels(image, suited.settings_for(suited.opening())))
    assert "size=320&" in address.encode(analysis)


def test_an_own_picture_is_not_in_the_address(analysis, tmp_path):
    own = analyse_pixels(np.zeros((64, 64, 3), np.uint8), Settings(size=64))
    assert "example=&" in address.encode(own)
    copy = tmp_path / "renamed.jpg"
    copy.write_bytes(examples()["Two people"].read_bytes())
    assert source_of(copy).example == "Two people", "an example is known by its bytes"


def test_the_cell_of_an_address_is_the_cell_that_is_looked_at(analysis):
    asked = replace(address.decode("", TABS), stage="P4 composed", cell=(3, 4))
    found, point = address.place(analysis, asked)
    assert found.wrong == ()
    assert render.cell_at(point, analysis.capture("P4 7x7 d3"), analysis.dlka.letterbox) == (3, 4)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("example=Nope", "example 'Nope' (there are Bus stop"),
        ("model=../../etc/passwd", "model '../../etc/passwd' (there are head"),
        ("model=control", "model 'control'"),
        ("model=hit-uav-head&baseline=control", "baseline 'control', which knows other classes than hit-uav-head"),
        ("strength=9", "strength '9' (a number from 0 to 2)"),
        ("strength=nan", "strength 'nan'"),
        ("size=33", "size '33' (there are 0, 160, 320"),
        ("classes=person|dragon", "classes 'person|dragon'"),
        ("tab=<b>", "tab '<b>'"),
        ("cell=1", "cell '1' (row,column, from 0)"),
        ("cell=-1,2", "cell '-1,2'"),
        ("cell=٣,٤", "cell"),
        ("&".join(["a=1"] * 99), "more than 4000 characters or 60 values"),
        ("x" * 5000, "more than 4000 characters"),
    ],
)
def test_what_is_wrong_is_told_and_the_default_stands(query, says):
    asked = address.decode(query, TABS)
    assert says in address.complaint(asked)
    assert asked.settings.strength == 1
    assert asked.tab is None
    assert asked.cell is None


@pytest.mark.parametrize(
    ("stage", "cell", "says", "kept"),
    [
        ("P9", (0, 0), "stage 'P9' (there are P3 5x5", (None, None)),
        ("P3 5x5", (999, 1), "cell 999,1 (rows to", ("P3 5x5", None)),
        (None, (1, 1), "a cell without its stage", (None, None)),
    ],
)
def test_a_place_that_is_not_there_is_told(analysis, stage, cell, says, kept):
    found, point = address.place(analysis, replace(address.decode("", TABS), stage=stage, cell=cell))
    assert says in address.complaint(found)
    assert (found.stage, found.cell, point) == (*kept, None)
