# ruff: noqa: RUF001 (× and − are meant)
"""Every word of the playground, as in dlka/ui/learn/words.py."""

from __future__ import annotations

PLAY = {
    "text": """<p>Draw with a pen of 2 to 40 px on a sheet of 320×320 px, and choose a cell. Then drag the 25 taps
of a 5×5 kernel: what do they read, next to the regular grid and to the trained model's samples? Try to read more
ink than the trained model does. Would a detector of curves have to do the same?</p>""",
    "draw": "1. Draw",
    "tool": "Tool",
    "dot": "Dot",
    "line": "Line",
    "curve": "Curve",
    "eraser": "Eraser",
    "cell": "Choose the cell",
    "width": "Width, px",
    "preset": "Example",
    "preset_curve": "Curve",
    "preset_dots": "Dots, 4 to 40 px",
    "preset_lines": "Lines, 2 to 24 px",
    "clear": "Clear",
    "sheet": (
        "The sheet. Arrow keys move the pen or, with that tool, the chosen cell; Enter or Space puts it down or up"
    ),
    "pen": "Pen at ({x}, {y}) px, {state}.",
    "down": "down",
    "up": "up",
    "drag": "2. Drag the taps",
    "regular_kernel": "Regular",
    "trained_kernel": "As trained",
    "kernel": "The map around the chosen cell, with the 25 taps",
    "tap": "Tap {tap}, row {y}, column {x}, reads {read}; arrow keys move it by 0.1 cell, with Shift by 1",
    "reads": "3. What each reads",
    "weights": "Weights",
    "equal": "equal: 1/25 each",
    "mean_abs": "the trained stage's mean |weight|, sum 1",
    "regular": "regular",
    "hand": "by hand",
    "trained": "trained",
    "sum": "weighted sum {sum}",
    "tile": "{which}: 25 readings from {low} to {high}, weighted sum {sum}",
    "told": (
        "Cell (row {row}, column {column}). Weighted sums: regular {regular}, by hand {hand}, trained {trained}. The "
        "trained taps are moved by {moved} cells on average here, yours by {own}."
    ),
    "no_trained": "The trained model has not answered yet.",
    "ring": "regular",
    "own": "yours: drag them",
    "model": "trained",
    "help": """<p><b>What is what.</b> The sheet goes to the shipped model <code>scenes</code> as it is: 320×320 px,
one pixel of the sheet is one input pixel. On level P3 a cell is 8×8 px, so there are 40×40 cells. <b>Orange</b>
samples are where the P3 5×5 stage of the trained model reads for the chosen cell: real offsets, computed for your
drawing. But the trained stage reads <em>64 channels of features</em>, not ink. What all three kernels read
<em>here</em> is a stand-in that you can follow: the share of ink in each cell of 8×8 px, 0 white to 1 black,
between cells bilinearly, outside the map 0. The model was trained to name drawn letters and curves, and to box
them; nobody told its kernel how large they are.</p>""",
}
