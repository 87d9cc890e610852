"""Paper with a picture above and a legend strip below: what every drawing of the project is made on.

matplotlib's object-oriented API only: no pyplot and no global state, so pictures may be drawn in many threads at
once (one canvas belongs to one thread). The figure has 72 dots per inch, so that a point is a pixel.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from dlka import palette
from dlka.errors import DlkaError, writing
from dlka.render.picture import Raster, View, check_image, resample, whole

WIDTH = 960  # pixels of a sheet
PHONE = 360  # at this width on a screen the type is as large as the palette says
TALL = 1.15  # a picture's height at most, in widths of the paper
NARROW = 0.6  # a tall picture may narrow the paper to this part of the asked width, not further: the legend needs room


def png(pixels: np.ndarray) -> bytes:
    """[h, w, 3] uint8 as a PNG file, quickly rather than small."""
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def jpeg(pixels: np.ndarray) -> bytes:
    """[h, w, 3] uint8 as a JPEG file in which nobody sees the loss: 41 dB and more, and thin coloured lines stay sharp.

    Of photographs under drawings a third of `png`'s bytes, in less time. Colours are kept at full resolution (4:4:4).
    """
    how = [cv2.IMWRITE_JPEG_QUALITY, 95]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)[1].tobytes()


class Drawing:
    """A matplotlib figure, and what it is handed out as. title: what it shows, for those who cannot see it."""

    def __init__(self, figure: Figure, title: str = "dlka") -> None:
        self.figure, self._title = figure, title

    @property
    def title(self) -> str:
        return self._title

    def to_array(self) -> np.ndarray:
        """[h, w, 3] uint8, at the figure's own resolution."""
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2RGB)

    def to_png(self) -> bytes:
        """The same pixels as a PNG file."""
        return png(self.to_array())

    _repr_png_ = to_png  # what notebooks show

    def to_svg(self, caption: str = "") -> bytes:
        """An SVG file: photographs as pixels; points, arrows and text as vectors. caption: its description (desc)."""
        out = io.BytesIO()
        FigureCanvasSVG(self.figure).print_svg(out, metadata={"Date": None, "Title": self.title})
        described = f"</title>\n <desc>{escape(caption)}</desc>".encode()
        return out.getvalue().replace(b"</title>", described, 1) if caption else out.getvalue()

    def to_pdf(self, caption: str = "") -> bytes:
        """A PDF file of one page. caption: the document's subject."""
        out = io.BytesIO()
        told = {"Title": self.title, "Subject": caption, "CreationDate": None}
        FigureCanvasPdf(self.figure).print_pdf(out, metadata=told)
        return out.getvalue()

    def save(self, path: str | Path, caption: str = "") -> None:
        """Write it to a file that ends in .png, .svg or .pdf. Raises DlkaError for another ending."""
        path = Path(path)
        writers = {".png": self.to_png, ".svg": lambda: self.to_svg(caption), ".pdf": lambda: self.to_pdf(caption)}
        if path.suffix.lower() not in writers:
            raise DlkaError(f"{path.name}: expected a name that ends in {', '.join(writers)}.")
        with writing(path):
            path.write_bytes(writers[path.suffix.lower()]())


class _NoTicks:
    """An axis whose ticks are never asked for: matplotlib makes them when they are first looked at."""

    def set_clip_path(self, path: Any, transform: Any = None) -> None:
        pass

    def get_ticks_position(self) -> Any:
        """matplotlib before 3.10 looks at a tick here, when it places a title."""
        return "default"

    def set_tick_params(self, which: str = "major", reset: bool = False, **kwargs: Any) -> None:
        pass


class _X(_NoTicks, XAxis):
    pass


class _Y(_NoTicks, YAxis):
    pass


class PlainAxes(Axes):
    """Axes that only carry coordinates: ordinary ones make ticks and frames, at every drawing, that nobody sees.

    What is overridden is what matplotlib's own projections override: which axis objects and spines there are.
    """

    def _init_axis(self) -> None:
        self.xaxis, self.yaxis = _X(self, clear=False), _Y(self, clear=False)

    def _gen_axes_spines(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def grid(self, *args: Any, **kwargs: Any) -> None:
        pass


class Paper(Drawing):
    """A white sheet: picture panels on top, a legend strip below that grows as rows are added.

    width, picture_height  pixels of the part above the legend strip
    font                   text height of the legend in pixels; line  width of a normal line in pixels
    panels                 axes over pictures with their (left, top, width, height), in the order of their making
    """

    def __init__(self, width: int, picture_height: int) -> None:
        self.width, self.picture_height, self.strip_height = width, picture_height, 0
        self.font = palette.FONT_SIZE * width / PHONE
        self.line = palette.LINE * width / (2 * PHONE)
        super().__init__(Figure(dpi=72, facecolor=palette.PAPER))
        self.panels: list[tuple[Axes, tuple[int, int, int, int]]] = []
        self.strip = self._axes()  # data coordinates: pixels from the strip's top left corner
        self.legend: list[str] = []  # every sentence on the legend, in order
        self._layout()

    def _axes(self) -> Axes:
        axes = self.figure.add_axes((0, 0, 1, 1), axes_class=PlainAxes)
        axes.set_axis_off()
        axes.set_autoscale_on(False)
        return axes

    def _layout(self) -> None:
        total = self.picture_height + self.strip_height
        # The hair more than a pixel count keeps rounding from dropping the last row.
        self.figure.set_size_inches((self.width + 1e-6) / 72, (total + 1e-6) / 72)
        # Axes lie in shares of the figure: when the strip grows, every panel's share changes.
        for axes, (left, top, width, height) in self.panels:
            axes.set_position((left / self.width, 1 - (top + height) / total, width / self.width, height / total))
        self.strip.set_position((0, 0, 1, max(self.strip_height, 1) / total))
        self.strip.set_xlim(0, self.width)
        self.strip.set_ylim(max(self.strip_height, 1), 0)

    def grow(self, pixels: float) -> int:
        """Make the legend strip taller; returns where the new room begins, in pixels from the strip's top."""
        top = self.strip_height
        self.strip_height += round(pixels)
        self._layout()
        return top

    def panel(self, image: np.ndarray, view: View, left: int, top: int, width: int, height: int) -> Axes:
        """Axes over a rectangle of the sheet that show a view of a picture; data coordinates are its pixels."""
        check_image(image)
        axes = self._axes()
        axes.set_zorder(1)
        axes.set_xlim(view.left, view.right)
        axes.set_ylim(view.bottom, view.top)
        axes.add_artist(Raster(resample(image, view, width, height)))
        self.panels.append((axes, (left, top, width, height)))
        self._layout()
        return axes

    def caption(self, axes: Axes, text: str, size: float = 0.8, weight: str = "normal") -> None:
        """A few words on a plate in a panel's upper left corner; size: in text heights of the legend."""
        width, height = next(size for panel, (_, _, *size) in self.panels if panel is axes)
        plate = {"facecolor": palette.PAPER, "edgecolor": "none", "alpha": 0.9, "pad": 0.2 * self.font}
        place = (0.35 * self.font / width, 1 - 0.35 * self.font / height)
        label = axes.text(*place, text, fontsize=size * self.font, color=palette.INK, zorder=8, parse_math=False)
        label.set(transform=axes.transAxes, va="top", bbox=plate, weight=weight)

    @property
    def legend_text(self) -> str:
        """Everything the legend says, one row per line: also the picture's description for those who cannot see it."""
        return "\n".join(self.legend)

    @property
    def title(self) -> str:
        return self.legend[0] if self.legend else super().title


class Tiles(Paper):
    """Square panels in rows and columns, a little apart; side: of one, in pixels."""

    def __init__(self, rows: int, columns: int, width: int = WIDTH) -> None:
        gap = max(2, width // 160)
        self.side = (width - gap * (columns - 1)) // columns
        self.pitch = self.side + gap
        super().__init__(width, rows * self.pitch - gap)

    def tile(self, image: np.ndarray, view: View, row: int, column: int) -> tuple[Axes, float]:
        """A panel that shows a square view of a picture, and its pixels per pixel of the picture."""
        axes = self.panel(image, view, column * self.pitch, row * self.pitch, self.side, self.side)
        return axes, self.side / (view.right - view.left)


class Canvas(Paper):
    """One picture over a legend strip; data coordinates of `axes` are pixels of the original picture.

    image [H, W, 3] uint8; width: pixels of the sheet; view: the part that is shown, all of it by default. A very tall
    view narrows the sheet, and if that is not enough stands in its middle.
    """

    def __init__(self, image: np.ndarray, width: int = WIDTH, view: View | None = None) -> None:
        check_image(image)
        self.image_size = (image.shape[0], image.shape[1])
        self.view = view or whole(image)
        across, down = self.view.right - self.view.left, self.view.bottom - self.view.top
        scale = min(width / across, TALL * width / down)
        self.picture_width = max(1, round(across * scale))
        sheet = max(self.picture_width, round(NARROW * width))
        super().__init__(sheet, max(1, round(down * scale)))
        self.left = (sheet - self.picture_width) // 2
        self.axes = self.panel(image, self.view, self.left, 0, self.picture_width, self.picture_height)

    @property
    def scale(self) -> float:
        """Sheet pixels per pixel of the original picture."""
        return self.picture_width / (self.view.right - self.view.left)

    def columns_and_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Original x of every sheet column of the picture, original y of every sheet row, at pixel centres."""
        view = self.view
        x = view.left + (np.arange(self.picture_width) + 0.5) / self.picture_width * (view.right - view.left)
        y = view.top + (np.arange(self.picture_height) + 0.5) / self.picture_height * (view.bottom - view.top)
        return x, y

    def pixel_of(self, x: float, y: float) -> tuple[float, float] | None:
        """The original point (x, y) under pixel (x, y) of the sheet, or None off the picture or on the legend."""
        across, down = (x - self.left + 0.5) / self.picture_width, (y + 0.5) / self.picture_height
        px = self.view.left + across * (self.view.right - self.view.left)
        py = self.view.top + down * (self.view.bottom - self.view.top)
        height, width = self.image_size
        on_picture = 0 <= across <= 1 and 0 <= down <= 1 and -0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5
        return (px, py) if on_picture else None

    def tint(self, colours: np.ndarray, rows: np.ndarray, columns: np.ndarray, opacity: float) -> None:
        """Lay a map of colours over the picture, every cell with sharp edges exactly where it belongs.

        colours [h, w, 3] uint8; rows [picture_height], columns [picture_width]: the cell under each sheet pixel,
        -1 where there is none; opacity 0..1.
        """
        if not 0 <= opacity <= 1:
            raise DlkaError(f"expected an opacity in 0..1, got {opacity}")
        raster = next(a for a in self.axes.get_children() if isinstance(a, Raster))
        over = cv2.addWeighted(raster.pixels, 1 - opacity, colours[rows][:, columns], opacity, 0)
        seen = (rows >= 0)[:, None] & (columns >= 0)
        raster.pixels = over if seen.all() else np.where(seen[..., None], over, raster.pixels)
