"""Pictures: arrays in, new figures out. Knows neither torch nor a model."""

from dlka.render.before_after import Side, draw_before_after
from dlka.render.boxes import draw_boxes, draw_difference
from dlka.render.canvas import Canvas, Paper, jpeg, png
from dlka.render.change import Sides, draw_change, draw_sliced
from dlka.render.density import density_overlay, outside_share, sample_density
from dlka.render.fields import field_scale, magnitude, mean_offset
from dlka.render.followed import draw_followed
from dlka.render.gates import REDUCTIONS, gate_overlay, gate_scale, reduce_gate
from dlka.render.geometry import (
    cell_at,
    cell_centres,
    composed_grid_points,
    composed_points,
    grid_points,
    pixels_per_cell,
    sample_points,
    sampled_size,
)
from dlka.render.maps import colour_table
from dlka.render.offsets import offset_arrows, offset_flow, offset_magnitude
from dlka.render.panels import Crop, contact_sheet, crop_tile, disagreements, same_size, side_by_side
from dlka.render.picture import View
from dlka.render.reads import reads_at
from dlka.render.receptive import INFLUENCE, influence_radius, receptive_field_overlay
from dlka.render.samples import draw_samples, draw_samples_grid, mark_point

__all__ = [
    "INFLUENCE",
    "REDUCTIONS",
    "Canvas",
    "Crop",
    "Paper",
    "Side",
    "Sides",
    "View",
    "cell_at",
    "cell_centres",
    "colour_table",
    "composed_grid_points",
    "composed_points",
    "contact_sheet",
    "crop_tile",
    "density_overlay",
    "disagreements",
    "draw_before_after",
    "draw_boxes",
    "draw_change",
    "draw_difference",
    "draw_followed",
    "draw_samples",
    "draw_samples_grid",
    "draw_sliced",
    "field_scale",
    "gate_overlay",
    "gate_scale",
    "grid_points",
    "influence_radius",
    "jpeg",
    "magnitude",
    "mark_point",
    "mean_offset",
    "offset_arrows",
    "offset_flow",
    "offset_magnitude",
    "outside_share",
    "pixels_per_cell",
    "png",
    "reads_at",
    "receptive_field_overlay",
    "reduce_gate",
    "same_size",
    "sample_density",
    "sample_points",
    "sampled_size",
    "side_by_side",
]
