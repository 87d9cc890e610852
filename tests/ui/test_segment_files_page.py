"""What comes into the page "Segment" and what is taken along, in a browser: networks, files, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from playwright.sync_api import expect
from segment_window import TILTED, choose, drawn, give, loaded, opened, point, until, value_of, volume

from dlka.segment import segmenter
from dlka.segment.scans import read_scan


def test_strength_changes_labels_as_the_network_does(seg, segment_server, tmp_path):
    path = volume(tmp_path / "own.nii")
    give(seg, path)
    until(seg, "drawn.name === 'own'")
    assert seg.locator("#seg-sample input").input_value() == ""
    own, scan = segmenter.Segmenter.of("hippocampus"), read_scan(path)
    found = {}
    for strength in (1, 0.5, 0):
        if strength != 1:
            number = seg.get_by_label("number input for Deformation")
            number.fill(str(strength))
            number.press("Tab")
            until(seg, f"drawn.strength === {strength}")
        found[strength] = np.frombuffer(loaded(seg, segment_server, value_of(seg)["found"]), np.uint8)
        assert np.array_equal(found[strength], own.look(scan, strength).labels.ravel())
    assert (found[1] != found[0]).any()
    assert (found[1] != found[0.5]).any()
    choose(seg, "net", "hippocampus-rigid")
    expect(seg.locator("#seg-strength input[type=range]")).to_be_disabled()
    expect(seg.locator(".seg-stage")).to_be_hidden()


def test_a_choice_is_segmented_once_and_again_at_once(seg):
    loads = []
    seg.on("request", lambda request: loads.append(request.url) if request.url.endswith("scan.bin") else None)
    choose(seg, "sample", "White blood cell 1")
    until(seg, "drawn.name.startsWith('cell')")
    seg.wait_for_timeout(2000)
    assert len(loads) == 1


def taken(page, folder):
    """Name -> path of the files to take along."""
    page.locator("#seg-take").click()
    links = page.locator("#seg-taken a[download]")
    links.first.wait_for(timeout=120_000)
    for link in links.all():
        with page.expect_download() as waiting:
            link.click()
        waiting.value.save_as(folder / waiting.value.suggested_filename)
    return {path.name: path for path in folder.iterdir()}


def test_what_is_taken_along_opens_in_other_programs(seg, segment_server, tmp_path):
    path = volume(tmp_path / "tilted.nii.gz", TILTED)
    give(seg, path)
    until(seg, "drawn.name === 'tilted'")
    found = np.frombuffer(loaded(seg, segment_server, value_of(seg)["found"]), np.uint8).reshape(value_of(seg)["size"])
    seg.mouse.click(*point(seg, "Axial", (0, 3, 2)))
    said = seg.locator(".seg-told").inner_text()
    voxel = [int(number) for number in re.search(r"Voxel (\d+), (\d+), (\d+) of the file", said).groups()]
    mm = [(-1 if side in "LPI" else 1) * float(number) for number, side in re.findall(r"([\d.]+) mm ([RLAPSI])", said)]
    assert np.allclose(mm, (TILTED @ [*voxel, 1])[:3], atol=0.06)
    captions = " ".join(seg.locator("figcaption").all_inner_texts())
    slices = {name: int(number) for name, number in re.findall(r"(\w+), (\d+) \(0 to \d+\)", captions)}
    y, x, z = voxel  # the axes of the file
    assert slices == {"Axial": z, "Coronal": y, "Sagittal": x}
    expect(seg.locator(".seg-sides")).to_be_hidden()
    (tmp_path / "out").mkdir()
    files = taken(seg, tmp_path / "out")
    labels, moved = (nibabel.load(files[f"tilted-{name}.nii.gz"]) for name in ("labels", "moved"))
    for one in (labels, moved):
        assert one.shape == (18, 14, 12)
        assert np.allclose(one.affine, TILTED, atol=1e-5)
    z, y, x = drawn(seg)["cross"]
    assert np.asarray(labels.dataobj)[tuple(voxel)] == found[z, y, x]
    assert Image.open(files["tilted.png"]).size[0] > 12
    with np.load(files["tilted.npz"]) as arrays:
        assert arrays["encoder 1, block 1, 3x3x3/offset"].shape[-2:] == (27, 3)
    assert json.loads(files["tilted.json"].read_text())["strength"] == 1


def test_letters_are_shown_only_where_the_file_knows_its_sides(seg, segment_server, tmp_path):
    letters = {}
    values = np.random.default_rng(0).normal(size=(18, 14, 12)).astype(np.float32)
    for name, affine in (("known", np.eye(4)), ("unknown", None)):
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / f"{name}.nii")
        opened(seg, segment_server)
        seg.evaluate(
            """() => {
                const own = CanvasRenderingContext2D.prototype, fill = own.fillText;
                window.letters = [];
                own.fillText = function (text, ...at) { window.letters.push(text); fill.call(this, text, ...at); };
            }"""
        )
        give(seg, tmp_path / f"{name}.nii")
        until(seg, f"drawn.name === '{name}'")
        seg.evaluate("() => { window.letters = []; }")
        seg.mouse.click(*point(seg, "Axial", (0, 3, 2)))
        at = seg.locator(".seg-told")
        expect(at).to_contain_text("Voxel 2, 3, " if affine is not None else "Voxel 15, 3, ")
        letters[name] = set("RLAPSI") & set(seg.evaluate("() => window.letters"))
        assert seg.locator(".seg-sides").is_visible() is (affine is None)
        assert (" mm R" in at.inner_text()) is (affine is not None)
    assert letters == {"known": set("RLAPSI"), "unknown": set()}


def test_the_network_stays_where_it_looks_at_such_a_file(seg, tmp_path):
    field = seg.locator("#seg-net input")
    choose(seg, "net", "hippocampus-rigid")
    expect(field).to_have_value("hippocampus-rigid (rigid)")
    give(seg, volume(tmp_path / "own.nii"))
    until(seg, "drawn.name === 'own'")
    expect(field).to_have_value("hippocampus-rigid (rigid)")
    choose(seg, "sample", "Hippocampus 2")
    until(seg, "drawn.name === 'hippocampus-003'")
    expect(field).to_have_value("hippocampus (deformable)")
    Image.new("RGB", (48, 64), "white").save(tmp_path / "photo.png")
    give(seg, tmp_path / "photo.png")
    until(seg, "drawn.name === 'photo'")
    expect(field).to_have_value("cells (deformable)")
    expect(seg.locator("#seg-card")).to_contain_text("Made for a stained white blood cell")
    field.click()
    expect(seg.get_by_role("option", name=re.compile("deformable|rigid"))).to_have_count(2)
    expect(seg.locator("#seg-strength input[type=range]")).to_be_enabled()


def test_of_a_picture_a_mask_is_taken_along(seg, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(tmp_path / "own.png")
    give(seg, tmp_path / "own.png")
    until(seg, "drawn.name === 'own'")
    (tmp_path / "out").mkdir()
    files = taken(seg, tmp_path / "out")
    mask = np.asarray(Image.open(files["own-labels.png"]))
    assert (mask.shape, mask.dtype) == ((48, 64), np.uint8)
    assert mask.max() < 3
    assert Image.open(files["own.png"]).size == (64, 48)
    assert sorted(files) == ["own-labels.png", "own.json", "own.npz", "own.png"]


def bad_files(folder: Path):
    """File -> what is said of it."""
    values = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    holed = values.copy()
    holed[2, 2, 2] = np.nan
    for name, data in (
        ("four.nii.gz", np.stack([values] * 3, -1)),
        ("flat.nii.gz", values[0]),
        ("holed.nii", holed),
        ("empty.nii.gz", np.zeros((12, 12, 12), np.uint8)),
        ("large.nii.gz", np.zeros((120, 120, 120), np.uint8)),
    ):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / name)
    header = bytearray(volume(folder / "nowhere.nii").read_bytes())
    header[252:256], header[280:328] = b"\0\0\1\0", bytes(48)  # sform, of zeros
    (folder / "nowhere.nii").write_bytes(header)
    (folder / "text.nii.gz").write_text("not a volume")
    (folder / "notes.txt").write_text("not a picture")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    return {
        "four.nii.gz": "expected a volume with three axes, got 4",
        "flat.nii.gz": "expected a volume with three axes, got 2",
        "holed.nii": "expected finite values; 1 are not",
        "empty.nii.gz": "expected a volume with something in it",
        "large.nii.gz": "expected at most 1,048,576 cells in all, got 120 x 120 x 120",
        "nowhere.nii": "its header does not say how voxels lie in space",
        "text.nii.gz": "expected a NIfTI volume that can be read; it is none, or damaged",
        "notes.txt": "JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, or a volume as NIfTI (.nii, .nii.gz).",
        "dot.png": "each side must have at least 8",
    }


def test_a_refusal_stands_where_the_result_would_and_what_is_shown_stays(seg, segment_server, tmp_path):
    for name, says in bad_files(tmp_path).items():
        opened(seg, segment_server)
        give(seg, tmp_path / name)
        said = seg.locator("#stale")
        expect(said).to_contain_text(says, timeout=60_000)
        expect(said).to_contain_text("What stands below is of what was segmented before")
        assert str(tmp_path.anchor + "tmp") not in said.inner_text(), "no path of the server"
        assert drawn(seg)["name"] == "hippocampus-001"
        assert seg.locator("#seg-net input").input_value() == "hippocampus (deformable)"
