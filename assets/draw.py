"""Draws the example picture dots-and-curves.png: things of known size to look at, from 4 to 64 pixels.

python assets/draw.py
"""

from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

matplotlib.rcParams["svg.hashsalt"] = "dlka"
WIDTH, HEIGHT = 960, 720
SIZES = (4, 8, 12, 16, 24, 32, 48, 64)  # pixels
INKS = ("#1F2328", "#0072B2", "#D55E00", "#009E73")


def main() -> None:
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
