"""Models that look at pictures, for scripts and notebooks: `dlka.load`.

>>> import dlka
>>> dlka.load("scenes")("assets/scene-3.png")
<scenes on assets/scene-3.png: 12 boxes>
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dlka import palette, render
from dlka.analysis.analysis import class_ids
from dlka.analysis.models import class_names
from dlka.errors import DlkaError
from dlka.images import picture_files, read_image, rgb_of
from dlka.inference.interventions import Intervention
from dlka.inference.lanes import in_lanes, room
from dlka.inference.predictor import Prediction, load_predictor
from dlka.inference.prepared import check_shares, check_size, check_strength
from dlka.models.catalog import available, cards, input_size, suited_size
from dlka.models.own import add
from dlka.render import Canvas, Drawing
from dlka.types import Detections

if TYPE_CHECKING:
    import pandas
    import supervision
    from ultralytics.engine.results import Results

Picture = str | os.PathLike[str] | np.ndarray | Image.Image
_converted: dict[Path, str] = {}  # checkpoints -> the ids that they got


def load(model: str | Path, device: str | None = None) -> Model:
    """A model that looks at pictures.

    model: an id of one that ships ("neck"), a weights file (.safetensors), or a checkpoint (.pt), of which nothing is
        run.
    device: such as "cpu" or "cuda:0"; by default the best there is.

    Raises DlkaError, one sentence.
    """
    return Model(opened(model), device)


def opened(model: str | Path) -> str:
    """What load_predictor takes: a model's id, or the path of a weights file. A checkpoint gets an id of its own."""
    if str(model) in cards() or Path(model).suffix == ".safetensors":
        return str(model)
    if not Path(model).suffix:
        raise DlkaError(f"Model: expected a file, or one of {', '.join(cards())}; got {str(model)!r:.60}.")
    path = Path(model).resolve()
    if path not in _converted:
        _converted[path] = add(path)
    return _converted[path]


def model_id(model: str | Path) -> str:
    """The id of a model; a weights file that has none yet gets one, by which it can be chosen from then on."""
    name = opened(model)
    if not Path(name).suffix:
        return name
    path = Path(name).resolve()
    return next((known for known, file in available().items() if file.resolve() == path), None) or add(path)


def pixels_of(picture: Picture) -> np.ndarray:
    """RGB [H, W, 3] uint8 of a picture, whichever way it is given. Raises DlkaError."""
    if isinstance(picture, str | os.PathLike):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return rgb_of(picture)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,) and picture.size:
        return picture
    got = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise DlkaError(f"Picture: expected a file, a PIL picture or RGB [H, W, 3] uint8; got {got}.")


class Model:
    """A model as `load` gives it. name: its id, or its file; names: class id -> name."""

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
        asked: dict[str, Any] = {"confidence": confidence, "iou": iou, "size": size}
        asked |= {"classes": classes, "strength": strength}
        if isinstance(pictures, str | os.PathLike) and Path(pictures).is_dir():
            pictures = picture_files([pictures])
        if not isinstance(pictures, list | tuple):
            one: Any = pictures
            return _result_of(one, self._look([pixels_of(one)], **self._question(**asked))[0])
        results = []
        for number, (picture, result) in enumerate(self.each(pictures, **asked)):
            if isinstance(result, DlkaError):
                called = picture if isinstance(picture, str | os.PathLike) else f"Picture {number}"
                raise DlkaError(f"{called}: {result}") from result
            if isinstance(result, Exception):
                raise result
            results.append(result)
        return results

    def each(
        self, pictures: Iterable[Picture], finish: Callable[[Result], object] | None = None, **asked: Any
    ) -> Iterator[tuple[Picture, Result | Exception]]:
        """(picture, its Result) of any number of pictures as they come, or the error where one has none, which costs
        no other.

        finish: what is done with each result, several at once, before it is given, such as to draw it into a file.
        asked: arguments as of a call; all of them have to be named. Raises DlkaError, before the first picture, for
        what no picture can be asked.
        """
        question = self._question(**asked)
        where = room(self.predictor.device, asked["size"] or suited_size(self.card))

        def done(picture: Picture, seen: Result) -> Result:
            result = _result_of(picture, seen)
            if finish:
                finish(result)
            return result

        return in_lanes(pictures, pixels_of, lambda images: self._look(images, **question), done, **where)

    def _question(
        self, confidence: float, iou: float, size: int | None, classes: Sequence[str], strength: float
    ) -> dict[str, Any]:
        """Arguments of `_look`, checked."""
        check_shares(confidence, iou)
        check_strength(strength)
        if size is not None:
            check_size(size, self.predictor.multiple)
        wanted = {"classes": class_ids(class_names(classes), self.names), "confidence": confidence, "iou": iou}
        return {**wanted, "size": size, "intervention": Intervention(strength=strength)}

    def _look(self, images: Sequence[np.ndarray], size: int | None, **asked: Any) -> list[Result]:
        """What is found in pictures [H, W, 3] uint8, as if they came without files."""
        sizes = [size or input_size(self.card, *image.shape[:2]) for image in images]
        seen = self.predictor.predict_all(images, size=sizes, **asked)
        return [Result(self.name, "", image, self.names, one) for image, one in zip(images, seen)]


def _result_of(picture: Picture, result: Result) -> Result:
    return replace(result, path=os.fspath(picture)) if isinstance(picture, str | os.PathLike) else result


class Showable(ABC):
    """What has a drawing: notebooks show it, `show` opens it, `save` writes it."""

    @abstractmethod
    def draw(self) -> Drawing:
        """The drawing, which has to_array, to_png, to_svg, to_pdf and save."""

    def show(self) -> None:
        """Open it in the system's viewer of pictures."""
        Image.fromarray(self.draw().to_array()).show()

    def _repr_png_(self) -> bytes:
        return self.draw().to_png()


@dataclass(frozen=True, eq=False)
class Result(Showable):
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
