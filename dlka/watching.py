"""``dlka.watch``: captures and pictures of the deformable convolutions in anybody's model."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from dlka import render
from dlka.analysis.stages import stage_stats
from dlka.errors import DlkaError
from dlka.images import rgb_of
from dlka.inference.letterbox import Letterbox
from dlka.inference.watch import Calls, DeformCall, watch_calls
from dlka.render import Canvas
from dlka.types import Capture, Stage

# Kind of an overlay -> how it is drawn; those with a scale take it from the capture alone.
OVERLAYS: dict[str, Callable[..., Canvas]] = {
    "magnitude": render.offset_magnitude,
    "arrows": render.offset_arrows,
    "flow": render.offset_flow,
}

SHOWN, GREY = 6, 200  # fields that a notebook shows without being asked, and what they lie on


@contextmanager
def watch(model: Any, picture: int = 0) -> Iterator[Seen]:
    """See where the deformable convolutions of any ``torch.nn.Module`` look.

    Every ``torchvision.ops.deform_conv2d`` (with masks and offset groups), in a DeformConv2d, a subclass of it or any
    module's own forward, every DeformConv of this package and the fused ``dlka.deform_dwconv2d`` is watched while the
    model is called inside the context; hooks are removed afterwards. In five lines:

        with dlka.watch(model) as seen:
            model(x)  # [N, 3, h, w]
        print(seen.rows())
        seen.draw(image).save("offsets.png")  # image: PIL or RGB [H, W, 3] uint8, stretched to h x w for the model
        seen.draw(image, cell=(20, 30)).save("samples.svg")

    picture: which of the batch. A model that torch.compile has compiled runs uncompiled inside. Raises ValueError at
    the context's end where no such convolution ran in a call of the model itself.
    """
    with watch_calls(model, picture) as calls:
        yield Seen(calls)


@dataclass(frozen=True)
class Seen:
    """What was seen in the last forward pass; layers are numbered in the order they ran, one for each offset group.

    The stride of a layer is the model's input over the map that it samples, rounded; a capture has the vertical one.
    Where the model does not take a tensor [N, C, h, w], the picture's own size stands for its input's.
    """

    calls: Calls

    @property
    def captures(self) -> list[Capture]:
        """The offset fields [2K, H, W] in cells, with kernel, dilation, padding, step and stride of their layers."""
        return [self._capture(call, self.calls.size or call.sampled) for call in self.calls.calls]

    @property
    def masks(self) -> list[np.ndarray | None]:
        """[K, H, W] float32 each, the factors on the reads (DCNv2); None where a layer has none."""
        return [call.mask for call in self.calls.calls]

    def rows(self) -> list[dict[str, Any]]:
        """Numbers of every layer: name, group, stride, lengths of its offsets in cells, share outside, mean mask."""
        rows = []
        for number, (call, capture) in enumerate(zip(self.calls.calls, self.captures)):
            size = self.calls.size or call.sampled
            stats = stage_stats(capture, self._letterbox(call, capture, size, size))
            row = {"layer": number, "name": call.name, "group": call.group, "kernel": call.kernel}
            row |= {"stride": self._strides(call, size)}
            row |= {n: getattr(stats, n) for n in ("cells", "mean", "p95", "maximum", "outside")}
            rows.append(row | {"mask": None if call.mask is None else float(call.mask.mean())})
        return rows

    def _repr_html_(self) -> str:
        """What notebooks show: the rows, and the offset field of each of the first layers on grey."""
        rows, fields = self.rows(), ""
        for layer, call in enumerate(self.calls.calls[:SHOWN]):
            size = self.calls.size or call.sampled
            if len(set(self._strides(call, size))) == 1:  # only such a map is drawn
                png = self.draw(np.full((*size, 3), GREY, np.uint8), layer).to_png()
                file = base64.b64encode(png).decode()
                fields += f'<img style="max-width:32%" alt="layer {layer}" src="data:image/png;base64,{file}">'
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        body = ""
        for row in rows:
            cells = (f"{value:.3g}" if isinstance(value, float) else html.escape(str(value)) for value in row.values())
            body += f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><div>{fields}</div>"

    def draw(
        self,
        image: np.ndarray | Image.Image,
        layer: int = 0,
        cell: tuple[int, int] | None = None,
        kind: str = "magnitude",
    ) -> Canvas:
        """A picture of one layer: without a cell its offset field, with a cell (row, column) where that cell reads.

        image: a PIL picture, turned upright as its EXIF says, or RGB [H, W, 3] uint8, of any size; kind of the field's
        overlay: magnitude, arrows, flow or density. Raises ValueError for another image, and for a layer, a cell or a
        kind that is not there.
        """
        image = _pixels(image)
        if not 0 <= layer < len(self.calls.calls):
            ran = len(self.calls.calls)
            raise DlkaError(f"layer: expected one of the {ran} that ran inside the context, from 0, got {layer}")
        call, original = self.calls.calls[layer], (image.shape[0], image.shape[1])
        size = self.calls.size or original
        strides = self._strides(call, size)
        if strides[0] != strides[1]:
            raise DlkaError(
                f"{call.name}: expected a map with one stride to draw it, got {strides} (vertical, horizontal)"
            )
        capture = self._capture(call, size)
        letterbox = self._letterbox(call, capture, size, original)
        if cell is not None:
            centres = render.cell_centres(capture, letterbox)
            if not (0 <= cell[0] < centres.shape[0] and 0 <= cell[1] < centres.shape[1]):
                raise DlkaError(f"cell: expected (row, column) on a map of {centres.shape[:2]}, got {cell}")
            x, y = map(float, centres[cell])
            return render.draw_samples(image, [capture], letterbox, (x, y))
        if kind == "density":
            return render.density_overlay(image, [capture], letterbox)
        if kind not in OVERLAYS:
            raise DlkaError(f"kind: expected one of {', '.join(OVERLAYS)} or density, got {kind!r:.60}")
        scale = render.field_scale([capture], of_magnitude=kind == "magnitude")
        return OVERLAYS[kind](image, capture, letterbox, scale)

    @staticmethod
    def _strides(call: DeformCall, size: tuple[int, int]) -> tuple[int, int]:
        """Input pixels per cell of the sampled map, (vertical, horizontal)."""
        down, across = (max(1, round(n / cells)) for n, cells in zip(size, call.sampled))
        return down, across

    def _capture(self, call: DeformCall, size: tuple[int, int]) -> Capture:
        stride = self._strides(call, size)[0]
        level = f"P{stride.bit_length() - 1}" if stride & (stride - 1) == 0 else f"stride {stride}"
        stage = Stage(
            name=f"{call.name}.{call.group}",
            block=call.name,
            level=level,
            stride=stride,
            kernel=call.kernel,
            dilation=call.dilation,
            padding=call.padding,
            channels=call.channels,
            step=call.step,
        )
        return Capture(stage, call.offset)

    @staticmethod
    def _letterbox(call: DeformCall, capture: Capture, size: tuple[int, int], original: tuple[int, int]) -> Letterbox:
        """A picture stretched to the model's input; as much padding as the map's cells cover beyond it."""
        rows, columns = (n * capture.stage.stride for n in call.sampled)
        return Letterbox(original, size, (rows, columns), 0, 0)


def _pixels(image: np.ndarray | Image.Image) -> np.ndarray:
    """RGB [H, W, 3] uint8."""
    if isinstance(image, Image.Image):
        try:
            return rgb_of(image)
        except OSError as error:  # Pillow reads the pixels as late as here
            raise DlkaError(f"image: expected a picture whose pixels can be read, got {error}") from error
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {list(image.shape)}" if hasattr(image, "shape") else type(image).__name__
        raise DlkaError(f"image: expected a PIL picture or RGB [H, W, 3] uint8, got {got}")
    return image
