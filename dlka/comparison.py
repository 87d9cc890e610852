"""Two models side by side on one picture, for scripts and notebooks: `dlka.compare`.

>>> import dlka
>>> dlka.compare("assets/scene-3.png", "scenes", "scenes-rigid")
<scenes beside scenes-rigid: both 10, class changed 1, only D-LKA 1, only baseline 0>
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlka import render
from dlka.analysis import report, see
from dlka.analysis.analysis import Analysis, Settings, analyse, analyse_pixels, pick
from dlka.analysis.batch import origin, write
from dlka.analysis.boxes import listed
from dlka.analysis.figures import KINDS, figure, pictures
from dlka.analysis.models import class_names, size_of
from dlka.analysis.pairing import rows
from dlka.analysis.recipes import pixels_sha256
from dlka.errors import DlkaError, short, writing
from dlka.images import read_image
from dlka.inference.interventions import LEARNED
from dlka.models.catalog import CONTROL, baseline_of
from dlka.render import Canvas, Drawing
from dlka.render.geometry import to_picture
from dlka.results import Picture, Result, Showable, model_id, pixels_of
from dlka.types import KIND_NAMES

if TYPE_CHECKING:
    import pandas
    import supervision

# Arguments of figures where nobody says: the D-LKA model's side, the picture as it is, all offsets off in "what if".
USUAL: dict[str, Any] = {
    **{"side": "dlka", "of": "layercam", "reduction": "mean", "channel": 0, "way": "D-LKA"},
    **{"overlay": "Magnitude", "tap": 0, "opacity": 0.7, "scale": "All stages"},
    **{"picture": "difference", "kind": LEARNED, "strength": 0.0, "stages": "", "seed": 0, "example": ""},
    **{"number": None, "shrink": 1.0, "rotate": 0.0, "right": 0.0, "down": 0.0, "blur": 0.0, "brightness": 1.0},
}


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
    name = model_id(model)
    other = model_id(baseline) if baseline is not None else baseline_of(name) or CONTROL
    settings = Settings(name, other, confidence, iou, size_of(size), class_names(classes), strength)
    if isinstance(picture, str | os.PathLike):
        read_image(picture)  # a file that is no picture is refused here, in its own sentence
        return Comparison(analyse(Path(picture), settings))
    return Comparison(analyse_pixels(pixels_of(picture), settings))


@dataclass(frozen=True, eq=False)
class Comparison(Showable):
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
        return render.draw_difference(self.analysis.image, self.analysis.pairing, self.analysis.names)

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
        names = {field.name for field in fields(pick("Figure", KINDS, kind))}
        usual = {name: value for name, value in (USUAL | self._place(object)).items() if name in names}
        return Shown(*figure(kind, usual | arguments).drawn(self.analysis))

    def _place(self, object: int | None) -> dict[str, Any]:
        """Arguments of figures that say where: at an object, or at one that both models have."""
        seen, point = self.analysis, pictures.default_point(self.analysis)
        boxes = [name for _, name in listed(seen)]
        if object is not None:
            pairs = seen.pairing.pairs
            if not pairs:
                raise DlkaError("Object: the models found none in this picture; leave the argument out.")
            if not isinstance(object, Integral) or not 0 <= object < len(pairs):
                raise DlkaError(f"Object: expected a row of to_pandas(), 0 to {len(pairs) - 1}; got {short(object)}.")
            shown, index = seen.pairing.shown(pairs[object])
            x, y = to_picture(shown.cells[index], 2 ** int(shown.levels[index]), seen.dlka.letterbox)
            point = float(x), float(y)
            boxes = [f"{'dlka' if pairs[object].first is not None else 'baseline'} {index}"]
        place: dict[str, Any] = {"x": point[0], "y": point[1], **({"box": boxes[0]} if boxes else {})}
        if seen.stage_labels:
            first = seen.stage_labels[0]
            row, column = render.reads_at(seen.views[first], point, seen.dlka.letterbox).cell
            place |= {"stage": first, "view": first, "row": row, "column": column}
        return place | ({"block": seen.gate_labels[0]} if seen.gate_labels else {})

    def save(self, folder: str | Path) -> list[Path]:
        """Write what `dlka compare` writes of a picture, drawings and comparison.json, and objects.csv; returns the
        folder's files. What is in it already under these names is overwritten."""
        folder, source = Path(folder), self.analysis.source
        file, digest = (source.name, source.sha256) if source else ("", pixels_sha256(self.analysis.image))
        write(self.analysis, folder, file, digest, origin(self.analysis.settings))
        self.to_pandas().to_csv(folder / "objects.csv", index=False)
        return sorted(folder.iterdir())

    def canvas(self) -> Interactive:
        """The page's canvas for a notebook's cell: move over the picture, and all panels show what the cell under the
        pointer samples; layers, zoom, keys. `.save("canvas.html")` writes it as a page of its own."""
        still = self.figure("samples").drawing if self.analysis.stage_labels else self.draw()
        return Interactive(see.page(self.analysis), still)

    def _repr_html_(self) -> str:
        """What notebooks show: counts, the boxes that only one has, and the samples at one object."""
        drawings = [self.draw(), *([self.figure("samples").drawing] if self.analysis.stage_labels else [])]
        images = "".join(f'<img style="max-width:100%" src="{_source(drawing)}">' for drawing in drawings)
        return f"{report.headline(self.analysis)}<div>{images}</div>"


def _source(drawing: Drawing) -> str:
    """A drawing as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(render.jpeg(drawing.to_array())).decode()}"


@dataclass(frozen=True, eq=False)
class Interactive(Showable):
    """The page's canvas for notebooks. page: HTML that needs no server, some MB for a photograph; still: the drawing
    that stands where no script may run."""

    page: str
    still: Drawing

    def draw(self) -> Drawing:
        """The drawing that does not move."""
        return self.still

    def save(self, path: str | Path) -> None:
        """Write it to a file that ends in .html, or the drawing to .png, .svg or .pdf. Raises DlkaError."""
        if Path(path).suffix.lower() == ".html":
            with writing(path):
                Path(path).write_text(self.page, encoding="utf-8")
        else:
            self.still.save(path)

    def _repr_html_(self) -> str:
        """A frame of its own, in which scripts run and can reach nothing outside it. A viewer that takes frames away,
        as GitHub's, takes styles away as well, and then the drawing is seen."""
        style = "width: 100%; height: 820px; border: 0"
        frame = f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(self.page)}"></iframe>'
        return f'<div><img style="display: none" src="{_source(self.still)}">{frame}</div>'


@dataclass(frozen=True, eq=False)
class Shown(Showable):
    """A figure: its drawing, its caption, and the numbers behind it by name."""

    drawing: Drawing
    caption: str
    arrays: dict[str, Any]

    def draw(self) -> Drawing:
        """The drawing."""
        return self.drawing

    def save(self, path: str | Path) -> None:
        """Write it to a file that ends in .png, .svg, .pdf, or in .npz for its numbers. Raises DlkaError."""
        if Path(path).suffix.lower() == ".npz":
            with writing(path):
                np.savez_compressed(path, **self.arrays)
        else:
            self.drawing.save(path, self.caption)
