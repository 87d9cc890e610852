"""Pictures: arrays in, new figures out. Knows neither torch nor a model."""

# ruff: noqa: F401 - these names are handed on

from dlka.render.boxes import Sides, draw_boxes, draw_difference
from dlka.render.canvas import Canvas, Drawing, Paper, jpeg, png
from dlka.render.change import draw_change, draw_followed, draw_sliced
from dlka.render.close_ups import Side, draw_before_after, draw_samples, draw_samples_grid, mark_point
from dlka.render.geometry import cell_at, cell_centres, pixels_per_cell, reads_at, reads_of, sample_points, sampled_size
from dlka.render.maps import (
    INFLUENCE,
    REDUCTIONS,
    colour_table,
    gate_colours,
    gate_overlay,
    gate_scale,
    hex_colours,
    influence_radius,
    receptive_field_overlay,
    reduce_gate,
)
from dlka.render.offsets import (
    density_overlay,
    field_scale,
    magnitude,
    mean_offset,
    offset_arrows,
    offset_flow,
    offset_magnitude,
    sample_density,
)
from dlka.render.panels import Crop, contact_sheet, crop_tile, disagreements, same_size
from dlka.render.picture import View
