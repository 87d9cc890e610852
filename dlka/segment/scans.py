"""Pictures and volumes to segment: files -> arrays with the size of their cells, and labels -> files.

A volume is turned to axes (z, y, x) that run to the superior, the anterior and the right (RAS+ of NIfTI, last axis
first), and its labels are turned back when they are written, so that they lie on the file that they were made of.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngImageFile

from dlka.analysis.labels import yaml_mapping
from dlka.errors import DlkaError
from dlka.images import ENDINGS, UnknownFormat, read_image
from dlka.palette import part_colour

VOLUMES = (".nii", ".nii.gz")
MAX_BYTES = 200 * 2**20
MAX_VOXELS = 64_000_000
MAX_AXIS = 1024  # cells along one side of a volume
MIN_AXIS = 4
MOST = 99  # classes beside the background: what a card holds
LONGEST = 100  # characters of a class's name, as there
TAILS = (1, 99)  # per cent of a volume's values that are cut off
LABELS = ("labels", "masks")  # what the folder beside `images` may be called
DAMAGED = (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, OverflowError)  # of nibabel
MILLIMETRES = {1: 1000.0, 3: 0.001}  # what NIfTI calls metres and micrometres; else millimetres


@dataclass(frozen=True)
class Scan:
    """One picture or volume.

    name     the file's, without endings
    values   float32 [C, *space]: of a volume [1, D, H, W] with mean 0 and deviation 1 after its TAILS were cut, of a
             picture [3, H, W], RGB in -1..1
    spacing  [space]: side of a cell in millimetres, of a picture 1.0 pixel
    shown    what is drawn: uint8 [D, H, W] of a volume, [H, W, 3] of a picture
    nifti    the file of a volume as nibabel opened it; None for a picture
    """

    name: str
    values: np.ndarray
    spacing: tuple[float, ...]
    shown: np.ndarray
    nifti: Any = field(default=None, repr=False)

    @property
    def space(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return self.values.shape[1:]

    @property
    def oriented(self) -> bool:
        """Whether the file of a volume says where left and right are; where it does not, its axes' ways are a guess."""
        return self.nifti is None or any(int(self.nifti.header[code]) for code in ("sform_code", "qform_code"))


@dataclass(frozen=True)
class Case:
    """A file with the labels of its cells: another file of the same name."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class CaseFolder:
    """The training and validation part of a data set, and class number -> name; 0 is the background."""

    title: str
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    names: dict[int, str]


def is_volume(path: Path) -> bool:
    """By its ending."""
    return path.name.lower().endswith(VOLUMES)


def name_of(path: Path) -> str:
    """The file's name without endings."""
    return path.name[: path.name.lower().rindex(".nii")] if is_volume(path) else path.stem


def read_scan(path: str | Path, most: int = MAX_VOXELS) -> Scan:
    """Read a picture, or a volume as NIfTI (.nii, .nii.gz), of at most so many cells. Raises DlkaError for what is
    neither, has another number of axes, is too large or too small, or has values that are not finite or all the same.
    """
    path = Path(path)
    if not is_volume(path):
        try:
            picture = read_image(path)
        except UnknownFormat as error:
            raise DlkaError(f"{str(error)[:-1]}, or a volume as NIfTI ({', '.join(VOLUMES)}).") from None
        _check_size(path, picture.shape[1::-1], most)
        values = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 127.5 - 1
        return Scan(name_of(path), values, (1.0, 1.0), picture)
    opened = _opened(path, most)
    data = _turned(opened, _data(opened, path))
    low, high = np.percentile(data, TAILS)
    if not high > low:
        low, high = float(data.min()), float(data.max())
    if not high > low:
        raise DlkaError(f"{path.name}: expected a volume with something in it; all its values are {low:g}.")
    shares = (data.clip(low, high) - low) / (high - low)
    values = ((shares - shares.mean()) / shares.std()).astype(np.float32)
    shown = (255 * shares).round().astype(np.uint8)
    spacing = tuple(float(side) for side in nibabel.affines.voxel_sizes(_placed(opened)[1])[::-1])
    return Scan(name_of(path), values[None], spacing, shown, opened)


def read_labels(path: str | Path, classes: int | None = None) -> np.ndarray:
    """Labels uint8 [*space] of a picture (a grey PNG) or volume. Raises DlkaError, for one of `classes` or more too."""
    path = Path(path)
    if is_volume(path):
        opened = _opened(path)
        values = _turned(opened, _data(opened, path))
    else:
        try:
            values = np.asarray(PngImageFile(path))  # what replaces Image.open for the process changes nothing here
        except (OSError, ValueError, SyntaxError, EOFError, zlib.error) as error:
            raise DlkaError(f"{path.name}: expected a PNG of labels ({error!s:.100}).") from None
        if values.ndim != 2:
            raise DlkaError(f"{path.name}: expected labels in one channel, got {list(values.shape)}.")
    most = 255 if classes is None else classes - 1
    if not (np.equal(values, np.round(values)).all() and values.min() >= 0 and values.max() <= most):
        raise DlkaError(
            f"{path.name}: expected whole numbers from 0 to {most}, got values from {values.min():g} to "
            f"{values.max():g}."
        )
    return np.ascontiguousarray(values, np.uint8)


def read_case(case: Case, classes: int) -> tuple[Scan, np.ndarray]:
    """A scan and its labels, of so many classes with the background. Raises DlkaError, also where they do not fit."""
    scan, labels = read_scan(case.image), read_labels(case.labels, classes)
    if labels.shape != scan.space:
        raise DlkaError(f"{case.labels}: expected labels of {list(scan.space)} cells, got {list(labels.shape)}.")
    if scan.nifti is not None:
        (_, own), (_, other) = in_file(scan), _placed(_opened(case.labels))
        far = max(float(np.linalg.norm((own - other) @ [*corner, 1])) for corner in ((0, 0, 0), scan.space[::-1]))
        if far > min(scan.spacing) / 2:
            raise DlkaError(
                f"{case.labels}: expected labels on the voxels of {case.image.name}; by their headers they lie up to "
                f"{far:.3g} mm apart: save the labels with the affine of what they label."
            )
    return scan, labels


def read_folder(folder: str | Path) -> CaseFolder:
    """A data set: images/train and images/val with labels of the same names in labels/ or masks/, and names of the
    classes in data.yaml where it has one (names: {1: nucleus}). Raises DlkaError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DlkaError(f"{folder}: there is no such folder.")
    beside = next((folder / name for name in LABELS if (folder / name).is_dir()), None)
    if beside is None:
        raise DlkaError(f"{folder}: expected the folders images and labels (or masks) in it.")
    parts = []
    for part in ("train", "val"):
        files = sorted(p for p in (folder / "images" / part).glob("*") if is_volume(p) or p.suffix.lower() in ENDINGS)
        if not files:
            raise DlkaError(f"{folder / 'images' / part}: expected pictures or volumes (.nii.gz); there are none.")
        cases = []
        for file in files:
            name = name_of(file)
            labels = beside / part / (file.name if is_volume(file) else f"{name}.png")
            if not labels.is_file():
                raise DlkaError(f"{file}: expected its labels at {labels}; there is no such file.")
            cases.append(Case(name, file, labels))
        parts.append(tuple(cases))
    if len({is_volume(case.image) for cases in parts for case in cases}) > 1:
        raise DlkaError(f"{folder / 'images'}: expected volumes or pictures, got both.")
    return CaseFolder(folder.resolve().name, parts[0], parts[1], _names(folder, parts[0]))


def save_labels(scan: Scan, values: np.ndarray, path: Path) -> None:
    """Write values [*space] of a scan's cells: a volume as NIfTI with the axes and place of the file that it was read
    from, a picture as PNG (uint8) with a palette, so that labels are seen. The dtype is kept."""
    if scan.nifti is None:
        picture = Image.fromarray(values)
        picture.putpalette([level for number in range(256) for level in ImageColor.getrgb(part_colour(number))])
        picture.save(path)
        return
    own = io_orientation(scan.nifti.affine)
    back = ornt_transform([[0, 1], [1, 1], [2, 1]], own)
    data = apply_orientation(values.transpose(2, 1, 0), back)
    made = nibabel.Nifti1Image(data, scan.nifti.affine)
    if not scan.oriented:  # a guess is not written as if it were known
        made.header["sform_code"] = 0
    made.header["xyzt_units"] = scan.nifti.header["xyzt_units"] & 7
    nibabel.save(made, path)


def in_file(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Two affines [4, 4] of (x, y, z, 1) of a volume's cell: to the indices of the file itself, and to the header's
    millimetres, which run to the right, the anterior and the superior."""
    return _placed(scan.nifti)


def _check_size(path: Path, shape: tuple[int, ...], most: int) -> None:
    if math.prod(shape) > most:
        got = " x ".join(map(str, shape))
        raise DlkaError(f"{path.name}: expected at most {most:,} cells in all, got {got}: cut out what matters.")


def _opened(path: Path, most: int = MAX_VOXELS) -> Any:
    if not path.is_file():
        raise DlkaError(f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise DlkaError(f"{path.name}: expected at most {MAX_BYTES >> 20} MB, got {path.stat().st_size >> 20} MB.")
    try:
        opened: Any = nibabel.load(path)
    except DAMAGED:  # nibabel's own words hold the whole path
        raise DlkaError(f"{path.name}: expected a NIfTI volume that can be read; it is none, or damaged.") from None
    shape = opened.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise DlkaError(f"{path.name}: expected a volume with three axes, got {len(shape)}: {list(opened.shape)}.")
    if not (min(shape) >= MIN_AXIS and max(shape) <= MAX_AXIS):
        got = " x ".join(map(str, shape))
        raise DlkaError(f"{path.name}: expected {MIN_AXIS} to {MAX_AXIS} cells along an axis, got {got}.")
    _check_size(path, shape, most)
    if opened.get_data_dtype().kind not in "uif":
        raise DlkaError(f"{path.name}: expected a number for each voxel, got {opened.get_data_dtype()}.")
    affine = opened.affine
    sides = np.linalg.norm(affine[:3, :3], axis=0).prod()
    if not (np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-6 * sides):
        raise DlkaError(f"{path.name}: its header does not say how voxels lie in space; save it again with an affine.")
    return opened


def _data(opened: Any, path: Path) -> np.ndarray:
    try:
        data = np.asarray(opened.dataobj, np.float64)  # float32 would lose what lies on a large constant
    except DAMAGED:  # again with the whole path
        raise DlkaError(f"{path.name}: the file is damaged or incomplete; copy it once more.") from None
    if not np.isfinite(data).all():
        raise DlkaError(f"{path.name}: expected finite values; {int((~np.isfinite(data)).sum())} are not.")
    return data.reshape(opened.shape[:3])


def _placed(opened: Any) -> tuple[np.ndarray, np.ndarray]:
    """As in_file."""
    scale = MILLIMETRES.get(int(opened.header["xyzt_units"]) & 7, 1.0)
    to_file = inv_ornt_aff(io_orientation(opened.affine), opened.shape[:3])
    return to_file, np.diag([scale, scale, scale, 1]) @ opened.affine @ to_file


def _turned(opened: Any, data: np.ndarray) -> np.ndarray:
    """(z, y, x), see the top of this file."""
    return apply_orientation(data, io_orientation(opened.affine)).transpose(2, 1, 0)


def _names(folder: Path, cases: tuple[Case, ...]) -> dict[int, str]:
    file = folder / "data.yaml"
    if file.is_file():
        try:
            names = yaml_mapping(file.read_text(encoding="utf-8"), str(file)).get("names")
        except UnicodeDecodeError:
            raise DlkaError(f"{file}: expected text in UTF-8; save it again as such.") from None
        if isinstance(names, dict):
            names = {number: name for number, name in names.items() if number != 0}  # some list the background, too
        if not isinstance(names, dict) or set(names) != set(range(1, len(names) + 1)) or not 0 < len(names) <= MOST:
            names = {}
        fit = {str(name) for name in names.values() if isinstance(name, str | int) and len(str(name)) <= LONGEST}
        if not names or len(fit) < len(names):
            raise DlkaError(
                f"{file}: expected names of 1 to {MOST} classes by number, from 1 on without gaps, all different and "
                f"of at most {LONGEST} characters: {{1: nucleus}}."
            )
        return {0: "background"} | {number: str(names[number]) for number in sorted(names)}
    most = max(int(read_labels(case.labels).max()) for case in cases)
    if not 0 < most <= MOST:
        raise DlkaError(f"{folder}: expected labels of classes from 1 to at most {MOST}, got a highest one of {most}.")
    return {0: "background"} | {number: f"part {number}" for number in range(1, most + 1)}
