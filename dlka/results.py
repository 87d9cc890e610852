"""Models that look at pictures, and two of them side by side, for scripts and notebooks: `dlka.load`, `dlka.compare`.

>>> import dlka
>>> result = dlka.load("scenes")("assets/scene-3.png")
>>> len(result)
12
>>> pair = dlka.compare("assets/scene-3.png", "scenes", "scenes-rigid")
>>> pair.counts
{'both': 10, 'class changed': 1, 'only D-LKA': 1, 'only baseline': 0}
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dlka import palette, render
from dlka.analysis import report
from dlka.analysis.analysis import Analysis, Settings, analyse, analyse_pixels, class_ids
from dlka.analysis.boxes import listed
from dlka.analysis.figures import KINDS, figure, pictures
from dlka.analysis.models import FITS
from dlka.analysis.pairing import rows
from dlka.errors import DlkaError
from dlka.images import read_image, rgb_of
from dlka.inference.interventions import LEARNED, Intervention
from dlka.inference.predictor import Prediction, load_predictor
from dlka.models.catalog import CONTROL, baseline_of, cards, input_size
from dlka.models.own import add
from dlka.render import Canvas
from dlka.render.geometry import to_picture
from dlka.types import KIND_NAMES, Detections

if TYPE_CHECKING:
    import pandas
    import supervision
    from ultralytics.engine.results import Results

Picture = str | os.PathLike[str] | np.ndarray | Image.Image
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp")  # of pictures in a folder
_opened: dict[Path, str] = {}  # files that were named as models -> their ids


def load(model: str | Path, device: str | None = None) -> Model:
    """A model that looks at pictures.

    model: an id of one that ships ("neck"), a weights file (.safetensors), or a checkpoint (.pt), of which nothing is
        run.
    device: such as "cpu" or "cuda:0"; by default the best there is.

    Raises DlkaError, one sentence.
    """
    return Model(_id(model), device)


def compare(
    picture: Picture,
    model: str | Path,
    baseline: str | Path | None = None,
    *,
    confidence: float = 0.25,
    iou: float = 0.7,
    size: int | None = None,
    classes: Sequence[str] = (),
    strength: float = 1.0,
) -> Comparison:
    """Two models of the same classes on one picture.

    picture: a file, a PIL picture, or RGB [H, W, 3] uint8.
    model, baseline: as of `load`; without a baseline it is the model's own: its rigid twin, else its data's control.
    confidence, iou: least score of a box, and the overlap that suppresses, 0 to 1.
    size: longer side of the input in pixels, a multiple of 32; by default what fits model and picture.
    classes: names to look for; by default all.
    strength: what every offset of the model is multiplied by, 0 to 2.

    Raises DlkaError, one sentence.
    """
    name = _id(model)
    other = _id(baseline) if baseline is not None else baseline_of(name) or CONTROL
    settings = Settings(name, other, confidence, iou, size or FITS, tuple(classes), strength)
    if isinstance(picture, str | os.PathLike):
        read_image(picture)  # a file that is no picture is refused here, in its own sentence
        return Comparison(analyse(Path(picture), settings))
    return Comparison(analyse_pixels(_pixels(picture), settings))


def _id(model: str | Path) -> str:
    """The id of a model that is named by its id or by a file."""
    if str(model) in cards():
        return str(model)
    path = Path(model).resolve()
    if path not in _opened:
        if not path.suffix:
            raise DlkaError(f"Model: expected a file, or one of {', '.join(cards())}; got {str(model)!r:.60}.")
        _opened[path] = add(path)
    return _opened[path]


def _pixels(picture: Picture) -> np.ndarray:
    if isinstance(picture, str | os.PathLike):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return rgb_of(picture)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    got = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise DlkaError(f"Picture: expected a file, a PIL picture or RGB [H, W, 3] uint8; got {got}.")


class Model:
    """A model as `load` gives it. name: its id; names: class id -> name."""

    def __init__(self, name: str, device: str | None = None) -> None:
        self.name = name
        self.predictor, self.card = load_predictor(name, device)
        self.names = self.predictor.names

    def __repr__(self) -> str:
        return f"dlka.load({self.name!r})  # {len(self.names)} classes, on {self.predictor.device}"

    def __call__(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        confidence: float = 0.25,
        iou: float = 0.7,
        size: int | None = None,
        classes: Sequence[str] = (),
        strength: float = 1.0,
    ) -> Any:
        """A Result for one picture; a list of them for a list of pictures, and for a folder, by name.

        Arguments as of `compare`. Raises DlkaError, one sentence.
        """
        asked = {"confidence": confidence, "iou": iou, "classes": class_ids(tuple(classes), self.names)}
        asked["intervention"] = Intervention(strength=strength)
        if isinstance(pictures, str | os.PathLike) and Path(pictures).is_dir():
            pictures = sorted(p for p in Path(pictures).iterdir() if p.suffix.lower() in ENDINGS)
        if isinstance(pictures, list | tuple):
            return [self._look(picture, size, asked) for picture in pictures]
        return self._look(pictures, size, asked)  # type: ignore[arg-type]  # a single one

    def _look(self, picture: Picture, size: int | None, asked: Mapping[str, Any]) -> Result:
        image = _pixels(picture)
        size = size or input_size(self.card, *image.shape[:2])
        path = os.fspath(picture) if isinstance(picture, str | os.PathLike) else ""
        return Result(self.name, path, image, self.names, self.predictor.predict(image, size=size, **asked))


class _Showable:
    """What has a drawing: notebooks show it, `show` opens it, `save` writes it."""

    def draw(self) -> Any:
        """The drawing, which has to_array, to_png, to_svg and to_pdf."""
        raise NotImplementedError

    def show(self) -> None:
        """Open it in the system's viewer of pictures."""
        Image.fromarray(self.draw().to_array()).show()

    def _repr_png_(self) -> bytes:
        return self.draw().to_png()


@dataclass(frozen=True, eq=False)
class Result(_Showable):
    """What one model found in one picture.

    path: of the picture, "" where it came without a file; image: RGB [H, W, 3] uint8; names: class id -> name;
    prediction: boxes, and the offsets and gates of every deform stage (dlka.inference.predictor.Prediction).
    """

    model: str
    path: str
    image: np.ndarray
    names: Mapping[int, str]
    prediction: Prediction

    def __repr__(self) -> str:
        return f"<{self.model} on {self.path or 'a picture'}: {len(self)} boxes>"

    @property
    def detections(self) -> Detections:
        """Boxes, best score first (dlka.types.Detections)."""
        return self.prediction.detections

    def __len__(self) -> int:
        return len(self.detections)

    def draw(self) -> Canvas:
        """The picture with all boxes."""
        return render.draw_boxes(self.image, self.detections, dict(self.names), palette.DLKA, self.model)

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file that ends in .png, .svg or .pdf."""
        self.draw().save(path)

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each box: class, score, x1, y1, x2, y2 (pixels of the picture, at edges), level, row and column of
        the cell that it comes from."""
        import pandas

        found = self.detections
        table = pandas.DataFrame(found.boxes, columns=["x1", "y1", "x2", "y2"])
        table.insert(0, "class", [self.names[int(number)] for number in found.classes])
        table.insert(1, "score", found.scores)
        table["level"] = [f"P{level}" for level in found.levels]
        table[["row", "column"]] = found.cells
        return table

    def to_supervision(self) -> supervision.Detections:
        """The same as supervision's Detections, with class_name among its data."""
        from dlka.inference.slicing import as_supervision

        return as_supervision(self.detections, self.names)

    def to_ultralytics(self) -> Results:
        """The same as Ultralytics' Results; the picture in them is BGR, as it is there."""
        import torch
        from ultralytics.engine.results import Results

        found = self.detections
        rows = torch.from_numpy(np.column_stack([found.boxes, found.scores, found.classes]).astype(np.float32))
        return Results(np.ascontiguousarray(self.image[..., ::-1]), self.path, dict(self.names), rows)


@dataclass(frozen=True, eq=False)
class Comparison(_Showable):
    """Two models on one picture; analysis: everything that was seen (dlka.analysis.analysis.Analysis)."""

    analysis: Analysis

    @property
    def counts(self) -> dict[str, int]:
        """How many objects both have, with the same class or another, and how many only one of the two."""
        return {name: self.analysis.pairing.count(kind) for kind, name in KIND_NAMES.items()}

    def __repr__(self) -> str:
        settings, counts = self.analysis.settings, ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return f"<{settings.dlka} beside {settings.baseline}: {counts}>"

    @property
    def dlka(self) -> Result:
        """What the model found."""
        return self._side("dlka")

    @property
    def baseline(self) -> Result:
        """What the baseline found."""
        return self._side("baseline")

    def _side(self, side: str) -> Result:
        seen, path = self.analysis, self.analysis.source.name if self.analysis.source else ""
        return Result(getattr(seen.settings, side), path, seen.image, seen.names, getattr(seen, side))

    def draw(self) -> Canvas:
        """The picture with what only one of the two found."""
        return pictures.difference(self.analysis)

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each object, smallest first, as dlka.analysis.pairing.rows has it; its number is what `figure`
        takes as object."""
        import pandas

        return pandas.DataFrame(rows(self.analysis.pairing, self.analysis.names))

    def to_supervision(self) -> tuple[supervision.Detections, supervision.Detections]:
        """The boxes of the model and of the baseline as supervision's Detections."""
        return self.dlka.to_supervision(), self.baseline.to_supervision()

    def figure(self, kind: str, object: int | None = None, **arguments: Any) -> Shown:
        """A figure of the page.

        kind: such as "samples", "offsets", "attention", "boxes", "difference" (dlka.analysis.figures.KINDS).
        object: the row of `to_pandas` whose object it is about; by default one that both models have.
        arguments: of the figure, where they are not to be the usual ones: stage="P4 5x5", overlay="Arrows", ...

        Raises DlkaError, one sentence.
        """
        if kind not in KINDS:
            raise DlkaError(f"Figure: expected one of {', '.join(KINDS)}; got {kind!r:.60}.")
        names = {field.name for field in fields(KINDS[kind])}
        usual = {name: value for name, value in self._usual(object) if name in names}
        made = figure(kind, usual | arguments)
        return Shown(*made.drawn(self.analysis))

    def _usual(self, object: int | None) -> Iterator[tuple[str, Any]]:
        """What the arguments of figures are where nobody says."""
        seen, point = self.analysis, pictures.default_point(self.analysis)
        boxes = [name for _, name in listed(seen)]
        if object is not None:
            pairs = seen.pairing.pairs
            if not 0 <= object < len(pairs):
                raise DlkaError(f"Object: expected a row of to_pandas(), 0 to {len(pairs) - 1}; got {object}.")
            shown, index = seen.pairing.shown(pairs[object])
            x, y = to_picture(shown.cells[index], 2 ** int(shown.levels[index]), seen.dlka.letterbox)
            point = float(x), float(y)
            side = "dlka" if pairs[object].first is not None else "baseline"
            boxes = [name for name in boxes if name == f"{side} {index}"] or boxes
        yield from (("x", point[0]), ("y", point[1]), ("side", "dlka"), ("of", "layercam"))
        yield from (("overlay", "Magnitude"), ("tap", 0), ("opacity", 0.7), ("scale", "All stages"))
        yield from (("reduction", "mean"), ("channel", 0), ("number", None), ("shrink", 1.0), ("rotate", 0.0))
        yield from (("picture", "difference"), ("kind", LEARNED), ("strength", 0.0), ("stages", ""), ("seed", 0))
        yield from (("example", ""), ("way", "D-LKA"))
        yield from (("right", 0.0), ("down", 0.0), ("blur", 0.0), ("brightness", 1.0))
        if boxes:
            yield "box", boxes[0]
        if seen.gate_labels:
            yield "block", seen.gate_labels[0]
        if seen.stage_labels:
            first = seen.stage_labels[0]
            row, column = render.reads_at(seen.views[first], point, seen.dlka.letterbox).cell
            yield from (("stage", first), ("view", first), ("row", row), ("column", column))

    def save(self, folder: str | Path) -> list[Path]:
        """Write boxes, difference, offsets, samples and gates as pictures, and objects.csv; returns their files.

        What is in the folder already under these names is overwritten.
        """
        from dlka.analysis.batch import gallery

        seen, folder = self.analysis, Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        models = seen.settings.dlka, seen.settings.baseline
        drawn = gallery(seen.image, models, seen.dlka, seen.baseline, seen.pairing, seen.names)
        written = []
        for name, drawing in drawn:
            written.append(folder / f"{name}.png")
            written[-1].write_bytes(drawing.to_png())
        written.append(folder / "objects.csv")
        self.to_pandas().to_csv(written[-1], index=False)
        return written

    def _repr_html_(self) -> str:
        """What notebooks show: counts, the boxes that only one has, and the samples at one object."""
        drawings = [self.draw(), *([self.figure("samples").drawing] if self.analysis.stage_labels else [])]
        images = "".join(f'<img style="max-width:100%" src="{_address(d.to_array())}">' for d in drawings)
        return f"{report.headline(self.analysis)}<div>{images}</div>"


def _address(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True, eq=False)
class Shown(_Showable):
    """A figure: its drawing, its caption, and the numbers behind it by name."""

    drawing: Any
    caption: str
    arrays: Mapping[str, np.ndarray]

    def draw(self) -> Any:
        """The drawing."""
        return self.drawing

    def save(self, path: str | Path) -> None:
        """Write it to a file that ends in .png, .svg, .pdf, or in .npz for its numbers. Raises DlkaError."""
        path, drawing = Path(path), self.drawing
        if path.suffix.lower() == ".npz":
            np.savez_compressed(path, **self.arrays)
            return
        writers = {
            ".png": drawing.to_png,
            ".svg": lambda: drawing.to_svg(self.caption),
            ".pdf": lambda: drawing.to_pdf(self.caption),
        }
        if path.suffix.lower() not in writers:
            raise DlkaError(f"{path.name}: expected a name that ends in {', '.join(writers)} or .npz.")
        path.write_bytes(writers[path.suffix.lower()]())
