"""Every visual constant of the project: one accent colour per model, colour maps, line widths.

The hues are Okabe and Ito's (2008), which stay apart for colour-blind readers; the maps are
matplotlib's perceptually uniform ones. This file imports nothing of the project.
"""

from __future__ import annotations

# One accent per model, used for boxes, tables, legends and buttons alike.
DLKA = "#D55E00"  # vermilion
BASELINE = "#0072B2"  # blue
CHANGED = "#CC79A7"  # purple: same object, another class
TRUTH = "#009E73"  # green: a labelled object
REGULAR = "#FFFFFF"  # the undeformed tap grid, drawn with a dark rim
WHAT_IF = "#009E73"  # green: the D-LKA model with its offsets or gates changed, beside the learned one in DLKA
ONLY_DEFORMED = "#F0E442"  # yellow: the mark on boxes that need deformation
SLICED = "#8A4B9E"  # violet: the baseline in slices
INK = "#1F2328"
MUTED = "#6B7280"
PAPER = "#FFFFFF"

# By the kinds of types.KINDS, of D-LKA against the baseline.
KIND_COLOURS = {"both": "#8A8F98", "class_changed": CHANGED, "only_first": DLKA, "only_second": BASELINE}
KIND_LINES = {"both": "-", "class_changed": "-.", "only_first": "-", "only_second": "--"}

MAGNITUDE_MAP = "viridis"  # offset magnitude: zero is dark
GATE_MAP = "RdBu_r"  # signed gate, centred on zero
ONE_SIGN_MAP = "magma"  # a gate whose values have one sign: the least is dark
WEIGHT_MAP = "plasma"  # how much a tap counts: nothing is dark
DENSITY_MAP = "PuOr_r"  # log ratio of sample density to the regular grid, centred on zero

LINE = 2.0  # box outlines, in points of the figure
FONT_SIZE = 9.0
# Of a model by how its offsets are predicted, in charts; those without D-LKA have the baseline's.
VARIANT_COLOURS = {"dense": DLKA, "separable": "#E69F00", "none": MUTED, "features": "#56B4E9", "plain": BASELINE}
USE_COLOURS = {"unused": "#D55E00", "small": "#E69F00", "in use": "#009E73", "not measured": "#8A8F98"}

# Directions of offsets: a wheel through six of Okabe and Ito's hues, right first, then on clockwise (down, left, up).
FLOW_WHEEL = ("#D55E00", "#E69F00", "#009E73", "#56B4E9", "#0072B2", "#CC79A7")
FLOW_ZERO = "#F7F7F7"
RIM = "#14171A"  # the dark rim around marks, so that they are seen on any picture
OUTSIDE = "#E7E9ED"  # paper beyond the picture's edge
# Parts of what is segmented by their number, 0 the background; hues that stay apart on grey.
PARTS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")


def part_colour(number: int) -> str:
    """Of a part by its number: after the last hue the first one comes again."""
    return PARTS[number and 1 + (number - 1) % (len(PARTS) - 1)]
