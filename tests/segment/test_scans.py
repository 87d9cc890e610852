"""Volumes of every orientation come out as (z, y, x) to the superior, anterior and right, and labels go back."""

from __future__ import annotations

import gzip
import itertools

import nibabel
import numpy as np
import pytest
from PIL import Image

from dlka.errors import DlkaError
from dlka.segment.net_file import NetCard
from dlka.segment.outputs import numbers
from dlka.segment.scans import Case, in_file, read_case, read_folder, read_labels, read_scan, save_labels
from dlka.segment.segmenter import Segmentation

ALL = ["".join(a) for letters in itertools.permutations(["RL", "AP", "SI"]) for a in itertools.product(*letters)]


def ramp(codes: str) -> nibabel.Nifti1Image:
    """A volume of 6 x 7 x 8 cells of 1, 2 and 3 mm along right, anterior, superior, saved with other axes: the value is
    1 right + 10 anterior + 100 superior."""
    r, a, s = np.meshgrid(*map(np.arange, (6, 7, 8)), indexing="ij")
    ras = nibabel.Nifti1Image((r + 10 * a + 100 * s).astype(np.float32), np.diag([1.0, 2.0, 3.0, 1.0]))
    wanted = nibabel.orientations.axcodes2ornt(tuple(codes))
    return ras.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(ras.affine), wanted))


@pytest.mark.parametrize("codes", ALL)
def test_every_orientation_reads_the_same_and_is_written_back_as_it_was(codes, tmp_path):
    image = ramp(codes)
    nibabel.save(image, tmp_path / "a.nii.gz")
    scan = read_scan(tmp_path / "a.nii.gz")
    assert (scan.name, scan.space, scan.spacing) == ("a", (8, 7, 6), (3.0, 2.0, 1.0))
    z, y, x = np.meshgrid(*map(np.arange, (8, 7, 6)), indexing="ij")
    assert np.corrcoef(scan.values[0].ravel(), (x + 10 * y + 100 * z).ravel())[0, 1] > 0.99
    labels = (x + y + z).astype(np.uint8)
    save_labels(scan, labels, tmp_path / "labels.nii.gz")
    written = nibabel.load(tmp_path / "labels.nii.gz")
    assert written.shape == image.shape
    assert np.array_equal(written.affine, image.affine)
    assert np.array_equal(read_labels(tmp_path / "labels.nii.gz"), labels)


def test_oblique_volumes_keep_their_affine(tmp_path):
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.9, -0.3, 0.0], [0.3, 0.9, 0.1], [0.0, -0.1, 1.1]])
    nibabel.save(nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), turn), tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    save_labels(scan, np.zeros(scan.space, np.uint8), tmp_path / "b.nii")
    assert np.allclose(nibabel.load(tmp_path / "b.nii").affine, turn)


def test_sizes_are_in_millimetres_whatever_the_unit_and_the_angle(tmp_path):
    data = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    tilted = np.diag([0.4, 0.5, 2.0, 1.0])
    tilted[1, 2] = 1.5  # of a tilted gantry: slices lie upon each other, but not straight
    for unit, factor in (("mm", 1.0), ("meter", 0.001), ("micron", 1000.0), ("unknown", 1.0)):
        image = nibabel.Nifti1Image(data, np.diag([factor, factor, factor, 1]) @ tilted)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "a.nii")
        scan = read_scan(tmp_path / "a.nii")
        assert scan.spacing == pytest.approx((2.5, 0.5, 0.4))
        assert np.allclose(in_file(scan)[1], tilted)
        card = NetCard("volume", "small", "none", ["background", "part"], 32, "", {}, "", 0, {})
        told = numbers(scan, Segmentation(np.ones(scan.space, np.uint8), (), 1.0), card)
        assert told["parts"]["part"]["millilitres"] == pytest.approx(210 * 0.4 * 0.5 * 2.0 / 1000)
        save_labels(scan, np.zeros(scan.space, np.uint8), tmp_path / "b.nii")
        assert nibabel.load(tmp_path / "b.nii").header.get_xyzt_units()[0] == unit


def test_a_file_that_names_no_sides_is_read_and_its_labels_name_none_either(tmp_path):
    image = nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), None)
    image.header["pixdim"][1:4] = 1, 2, 3
    for code, known in ((0, False), (1, True)):
        image.header["qform_code"] = code
        nibabel.save(image, tmp_path / "a.nii")
        scan = read_scan(tmp_path / "a.nii")
        assert (scan.oriented, scan.spacing) == (known, (3.0, 2.0, 1.0))
        save_labels(scan, np.zeros(scan.space, np.uint8), tmp_path / "b.nii")
        assert bool(nibabel.load(tmp_path / "b.nii").header["sform_code"]) is known
        assert read_scan(tmp_path / "a.nii").space == read_labels(tmp_path / "b.nii").shape


@pytest.mark.parametrize("least", [1e9, -1e100, 0])
def test_a_signal_on_a_large_constant_is_kept(least, tmp_path):
    signal = np.random.default_rng(0).uniform(0, max(1, abs(least) / 1e10), (6, 7, 8))
    nibabel.save(nibabel.Nifti1Image(least + signal, np.eye(4)), tmp_path / "a.nii")
    values = read_scan(tmp_path / "a.nii").values
    cut = signal.T.clip(*np.percentile(signal, (1, 99)))
    assert np.allclose(values[0], (cut - cut.mean()) / cut.std(), atol=1e-4)


def test_very_small_voxels_are_volumes_and_a_message_holds_no_folder(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.arange(210.0).reshape(5, 6, 7), np.diag([5e-4, 5e-4, 5e-4, 1])), tmp_path / "a.nii"
    )
    assert read_scan(tmp_path / "a.nii").spacing == pytest.approx((5e-4,) * 3)
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:900])
    with pytest.raises(DlkaError, match=r"^b\.nii: the file is damaged or incomplete; copy it once more\.$"):
        read_scan(tmp_path / "b.nii")


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_labels_of_another_place_than_their_volume_are_refused(codes, tmp_path):
    image, labels = ramp("RAS"), ramp(codes)
    case = Case("a", tmp_path / "a.nii", tmp_path / "labels.nii")
    nibabel.save(image, case.image)
    values = (np.asarray(labels.dataobj) > 300).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(values, labels.affine), case.labels)
    assert np.array_equal(read_case(case, 2)[1], np.asarray(image.dataobj).T > 300)  # other axes, the same place
    away = labels.affine.copy()
    away[0, 3] += 2
    nibabel.save(nibabel.Nifti1Image(values, away), case.labels)
    with pytest.raises(DlkaError, match=r"on the voxels of a\.nii; by their headers they lie up to 2 mm apart"):
        read_case(case, 2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((4, 5, 6, 2), np.float32), "expected a volume with three axes, got 4"),
        (np.zeros((4, 5), np.float32), "expected a volume with three axes, got 2"),
        (np.zeros((5, 6, 7), np.float32), "all its values are 0"),
        (np.full((5, 6, 7), np.nan, np.float32), "expected finite values; 210 are not"),
        (np.zeros((2, 50, 50), np.float32), "got 2 x 50 x 50"),
    ],
)
def test_what_is_no_volume_is_refused_in_a_sentence(data, said, tmp_path):
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(DlkaError, match=said):
        read_scan(tmp_path / "a.nii.gz")


def test_damaged_files_are_refused_in_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    nibabel.save(nibabel.Nifti1Image(rng.normal(size=(20, 20, 20)), np.eye(4)), tmp_path / "a.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    for name, content in {"cut.nii.gz": whole[: len(whole) // 2], "text.nii.gz": b"hello", "no.nii": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DlkaError, match=name):
            read_scan(tmp_path / name)
    # The header names no type, one that NIfTI has not, and voxels that begin in it and beyond what can be counted.
    for at, content in ((70, b"\0\0"), (70, b"\x0f\x27"), (108, b"\0\0\0\x43"), (108, b"\0\0\0\x7f")):
        header = bytearray(gzip.decompress(whole))
        header[at : at + len(content)] = content
        (tmp_path / "header.nii").write_bytes(header)
        with pytest.raises(DlkaError, match=r"^header\.nii: .* damaged"):
            read_scan(tmp_path / "header.nii")
    with pytest.raises(DlkaError, match="no such file"):
        read_scan(tmp_path / "absent.nii.gz")


def test_a_file_of_no_format_is_told_that_volumes_are_nifti(tmp_path):
    (tmp_path / "brain.mha").write_bytes(b"ObjectType = Image")
    with pytest.raises(DlkaError, match=r"one of JPEG, PNG, .*, BMP, or a volume as NIfTI \(\.nii, \.nii\.gz\)\.$"):
        read_scan(tmp_path / "brain.mha")


def test_labels_of_a_picture_are_seen_in_colours_and_read_as_numbers(tmp_path):
    Image.new("RGB", (16, 10)).save(tmp_path / "a.png")
    labels = np.arange(160, dtype=np.uint8).reshape(10, 16) % 100
    save_labels(read_scan(tmp_path / "a.png"), labels, tmp_path / "labels.png")
    written = Image.open(tmp_path / "labels.png")
    assert written.mode == "P"
    assert np.array_equal(read_labels(tmp_path / "labels.png"), labels)
    colours = np.asarray(written.convert("RGB"))
    assert [colours[labels == part].max(initial=0) > 128 for part in range(100)] == [False] + [True] * 99


def test_a_folder_of_pictures_has_parts_and_names(tmp_path):
    for part, kind in itertools.product(("train", "val"), ("images", "masks")):
        folder = tmp_path / kind / part
        folder.mkdir(parents=True)
        mode = np.zeros((12, 14, 3) if kind == "images" else (12, 14), np.uint8)
        mode[3:5] = 2
        Image.fromarray(mode).save(folder / "a.png")
    data = read_folder(tmp_path)
    assert [case.name for case in data.val] == ["a"]
    assert data.names == {0: "background", 1: "part 1", 2: "part 2"}
    for names in ("{1: cytoplasm, 2: nucleus}", "{0: nothing, 1: cytoplasm, 2: nucleus}"):
        (tmp_path / "data.yaml").write_text(f"names: {names}")
        assert read_folder(tmp_path).names == {0: "background", 1: "cytoplasm", 2: "nucleus"}
    with pytest.raises(DlkaError, match="whole numbers from 0 to 1"):
        read_labels(data.val[0].labels, 2)
    (tmp_path / "data.yaml").write_bytes(b"names: {1: \xff}")
    with pytest.raises(DlkaError, match=r"data\.yaml: expected text in UTF-8"):
        read_folder(tmp_path)
    wrong = ("{1: a, 2: a}", "{1: [a]}", "{1: null}", "{1: " + "a" * 101 + "}")  # two columns of one name; no names
    for names in ("{1: a, 5: b}", "{}", "{0: a}", "{1: a, 300: b}", "[a, b]", *wrong):
        (tmp_path / "data.yaml").write_text(f"names: {names}")
        with pytest.raises(DlkaError, match="from 1 on without gaps, all different"):
            read_folder(tmp_path)
    (tmp_path / "data.yaml").unlink()
    for value in (0, 255):  # nothing to learn; white on black
        Image.fromarray(np.full((12, 14), value, np.uint8)).save(data.train[0].labels)
        with pytest.raises(DlkaError, match=f"from 1 to at most 99, got a highest one of {value}"):
            read_folder(tmp_path)
    Image.fromarray(np.ones((12, 14), np.uint8)).save(data.train[0].labels)
    for content in (b"hello", data.val[0].labels.read_bytes()[:45]):
        data.val[0].labels.write_bytes(content)
        with pytest.raises(DlkaError, match=r"a\.png: expected a PNG of labels"):
            read_labels(data.val[0].labels)
    for folder in ("images", "masks"):
        (tmp_path / folder / "val" / "b.nii.gz").write_bytes(b"a volume")
    with pytest.raises(DlkaError, match="expected volumes or pictures, got both"):
        read_folder(tmp_path)
    (tmp_path / "images" / "val" / "b.nii.gz").unlink()
    (tmp_path / "masks" / "val" / "a.png").unlink()
    with pytest.raises(DlkaError, match="expected its labels at"):
        read_folder(tmp_path)
