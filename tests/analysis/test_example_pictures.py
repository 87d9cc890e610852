"""The examples: small, with labels of their own, and credited."""

from __future__ import annotations

import json

import pytest

from dlka.analysis.analysis import Settings
from dlka.analysis.examples import ASSETS, LABELS, PICTURES, examples, first, labelled, subject
from dlka.analysis.judging import AGREEMENTS
from dlka.analysis.many import tables
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.analysis.many.inputs import sort_files
from dlka.images import read_image
from dlka.models.catalog import SUBJECTS, cards, subject_of

OF_ASSETS = [one for one in PICTURES.values() if not one.package]


def test_every_subject_has_examples_labels_and_a_model():
    assert {one.subject for one in PICTURES.values()} == set(SUBJECTS) == set(LABELS)
    for shown, model in SUBJECTS.items():
        assert subject_of(cards()[model].names) == shown
        assert subject(first(shown)) == shown
    assert subject(None) == subject("of a visitor's own") == "everyday"


def test_pictures_from_data_sets_are_small_and_credited():
    assert sum((ASSETS / one.file).stat().st_size for one in OF_ASSETS) < 1_000_000
    told = (ASSETS / "README.md").read_text(encoding="utf-8")
    for one in OF_ASSETS:
        assert f"`{one.file}`" in told
    for source, licence in (one.credit.split(", ", 1) for one in OF_ASSETS if "CC BY" in one.credit):
        assert source in told
        assert licence.rsplit(", ")[-1] in told
    assert all(one.credit for one in PICTURES.values())


@pytest.mark.parametrize("shown", LABELS)
def test_labels_lie_in_their_pictures(shown):
    content = json.loads((ASSETS / LABELS[shown]).read_text(encoding="utf-8"))
    files = {path.name: path for label, path in examples().items() if subject(label) == shown}
    images = {one["id"]: one for one in content["images"]}
    assert {one["file_name"] for one in images.values()} == set(files)
    for one in images.values():
        assert read_image(files[one["file_name"]]).shape[:2] == (one["height"], one["width"])
    for row in content["annotations"]:
        (x, y, width, height), image = row["bbox"], images[row["image_id"]]
        assert 0 <= x < x + width <= image["width"] + 0.1
        assert 0 <= y < y + height <= image["height"] + 0.1


def test_thermal_frames_have_small_objects_found_by_both_by_one_and_by_none(tmp_path):
    """What they were chosen for, see assets/README.md."""
    settings = Settings("hit-uav-head", "hit-uav-control")
    known = cards()[settings.dlka].names
    given = sort_files([*map(str, labelled(known))], known)
    many = ManyAnalyses(settings, given.labels, tmp_path)
    assert [row.problem for row in many.add(given.pictures)] == [""] * len(given.pictures)
    small = {who: many.agreement[who, "S"] for who in AGREEMENTS}
    assert sum(small.values()) == 26 + 9, "people, and bicycles of under 32 x 32 px"
    assert min(small.values()) > 0, small
    assert "missed by both" in tables.summary(many)
