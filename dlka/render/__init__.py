"""Pictures: arrays in, new figures out. Knows neither torch nor a model."""

# ruff: noqa: F401 - these names are handed on

from dlka.render.before_after import Side, draw_before_after
from dlka.render.boxes import draw_boxes, draw_difference
from dlka.render.canvas import Canvas, Paper, jpeg, png
from dlka.render.change import Sides, draw_change, draw_followed, draw_sliced
from dlka.render.density import density_overlay, sample_density
from dlka.render.gates import REDUCTIONS, gate_colours, gate_overlay, gate_scale, reduce_gate
from dlka.render.geometry import cell_at, cell_centres, grid_points, pixels_per_cell, sample_points, sampled_size
from dlka.render.maps import colour_table
from dlka.render.offsets import field_scale, magnitude, mean_offset, offset_arrows, offset_flow, offset_magnitude
from dlka.render.panels import Crop, contact_sheet, crop_tile, disagreements, same_size
from dlka.render.picture import View
from dlka.render.reads import reads_at
from dlka.render.receptive import INFLUENCE, influence_radius, receptive_field_overlay
from dlka.render.samples import draw_samples, draw_samples_grid, mark_point
