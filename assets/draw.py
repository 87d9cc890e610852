"""Draws the example pictures of the project's own: things of known size to look at.

python -m assets.draw

dots-and-curves.png has dots, squares and curves of 4 to 64 pixels; scene-1.png to scene-3.png are scenes as the command
draw-scenes draws them, but larger, and with the same shape at several sizes.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from dlka.drawn.scenes import Scene, arranged
from dlka.drawn.shapes import Placed

matplotlib.rcParams["svg.hashsalt"] = "dlka"
WIDTH, HEIGHT = 960, 720
SIZES = (4, 8, 12, 16, 24, 32, 48, 64)  # pixels
INKS = ("#1F2328", "#0072B2", "#D55E00", "#009E73")
SCENE = 240, 320  # height, width


class At(NamedTuple):
    """One shape in a scene: its name, size in px, middle (x, y) in px, degrees clockwise, width over height."""

    name: str
    size: float
    x: float
    y: float
    turn: float = 0.0
    stretch: float = 1.0


# File -> seed of background and greys, and what stands on it. With the last one the page opens: it was chosen, among
# some 3,500 that were put together at random, because there the shipped model finds all of it, its rigid twin does
# not, and without its own offsets the model finds something else. The first one's seed was chosen among 600 alike.
SCENES: dict[str, tuple[int, list[At]]] = {
    "scene-1.png": (
        28,
        [
            At("E", 90, 66, 70, -8),
            At("E", 48, 168, 54, 12),
            At("E", 24, 238, 44, -15),
            At("E", 12, 289, 40, 5),
            At("ring", 66, 70, 180),
            At("ring", 32, 150, 176),
            At("ring", 14, 204, 172),
            At("T", 44, 268, 168, 10),
        ],
    ),
    "scene-2.png": (
        17,
        [
            At("open ring", 88, 64, 170, 40),
            At("open ring", 44, 168, 184, -60),
            At("open ring", 22, 236, 190, 150),
            At("open ring", 11, 288, 194, 10),
            At("ring", 80, 70, 56, 0, 1.2),
            At("ring", 40, 170, 62, 20, 0.8),
            At("ring", 20, 236, 66),
            At("wave", 50, 284, 112, -20, 1.3),
        ],
    ),
    "scene-3.png": (
        46,
        [
            At("H", 84, 238, 50, -7),
            At("H", 42, 136, 179, 5),
            At("H", 20, 150, 133, 25),
            At("H", 10, 81, 161),
            At("ring", 70, 70, 94, -17, 1.1),
            At("U", 56, 274, 174, -14, 1.2),
            At("X", 46, 148, 75, -22, 1.1),
            At("open ring", 34, 88, 39, -25, 1.1),
            At("U", 28, 206, 189, -2, 1.1),
            At("U", 22, 49, 188, -4, 0.9),
            At("T", 16, 13, 156, -12, 1.2),
            At("ring", 13, 67, 142, -8, 0.8),
        ],
    ),
}


def scene(file: str) -> Scene:
    """One of SCENES, drawn."""
    seed, shapes = SCENES[file]
    placed = [Placed(s.name, s.size, s.turn, s.stretch, (s.y, s.x), max(1.0, 0.12 * s.size)) for s in shapes]
    return arranged(placed, *SCENE, seed)


def main() -> None:
    _dots_and_curves()
    for file in SCENES:
        Path(__file__).with_name(file).write_bytes(cv2.imencode(".png", scene(file).picture)[1].tobytes())


def _dots_and_curves() -> None:
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, facecolor="#EFEAE0")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.set_axis_off()
    x = 60.0
    for i, size in enumerate(SIZES):
        ink = INKS[i % len(INKS)]
        axes.add_patch(Circle((x, 110), size / 2, color=ink, linewidth=0))
        axes.add_patch(Rectangle((x - size / 2, 220 - size / 2), size, size, color=ink, linewidth=0))
        axes.text(x, 290, f"{size}", ha="center", color="#1F2328", fontsize=16)
        x += 80 + size
    for i, bend in enumerate((0, 40, 90, 160)):
        steps = [t / 60 for t in range(61)]
        axes.plot(
            [60 + 380 * t for t in steps],
            [360 + 90 * i - bend * 4 * t * (1 - t) * 0.5 for t in steps],
            color=INKS[i],
            linewidth=2 + 3 * i,
            solid_capstyle="round",
        )
    for row in range(9):
        for column in range(12):
            axes.add_patch(Circle((540 + 32 * column, 370 + 36 * row), 2 + 0.9 * row, color="#1F2328", linewidth=0))
    FigureCanvasAgg(figure).print_png(Path(__file__).parent / "dots-and-curves.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
