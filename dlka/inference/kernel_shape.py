"""How offsets deform a kernel as a whole: shift, zoom, rotation, shear, and what of it no affine map explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.ops.sampling import sampling_locations, tap_grid
from dlka.types import Capture


@dataclass(frozen=True)
class KernelShape:
    """The deformation of one kernel or of many; every array has the shape [...] of the cells, shift [..., 2].

    shift     (dy, dx) in cells: how far the middle of the taps moves
    zoom      factor on the kernel's size, the mean of its two principal stretches: 1 as it is
    rotation  degrees, clockwise on the picture, -180..180
    shear     (s1 - s2) / (s1 + s2) of the principal stretches s1 >= s2: 0 the same in all directions, 1 flattened to a
              line, above 1 mirrored. A simple shear x' = x + g y has g / sqrt(4 + g^2) and turns by atan(g / 2), too
    rest      root mean square over taps of the distance to the affine fit, in cells: what is not any of the above
    """

    shift: np.ndarray
    zoom: np.ndarray
    rotation: np.ndarray
    shear: np.ndarray
    rest: np.ndarray


def kernel_shape(grid: np.ndarray, places: np.ndarray) -> KernelShape:
    """Fit places [K, 2, ...] (y, x) of the taps by an affine map of the tap grid [K, 2], least squares.

    With the grid g and the places p taken from their means, the fit p = M g has M = (sum p g^T) (sum g g^T)^-1. A 2x2
    matrix is a similarity and a mirrored similarity; read as complex numbers, M z = a z + b conj(z), with
    |a| = (s1 + s2) / 2, |b| = |s1 - s2| / 2, and arg(a) the angle of the rotation R in the polar decomposition M = R S,
    S symmetric with the principal stretches s1, s2 (Higham, "Computing the polar decomposition", SIAM J. Sci. Stat.
    Comput. 7, 1986). So zoom = |a|, rotation = arg(a), shear = |b| / |a|: no angle or ratio depends on the axes.

    Raises ValueError for taps on one line, whose deformation in the other direction cannot be told.
    """
    grid, places = grid.astype(np.float64), places.astype(np.float64)
    if len(grid) != len(places):
        raise ValueError(f"expected as many places as taps, got {len(places)} and {len(grid)}")
    middle, centre = grid.mean(axis=0), places.mean(axis=0)
    arms, moved = grid - middle, places - centre
    spread = arms.T @ arms
    if np.linalg.matrix_rank(spread) < 2:
        raise ValueError("expected taps that are not all on one line")
    fit = np.einsum("ki...,kj->ij...", moved, arms @ np.linalg.inv(spread))  # [2, 2, ...]
    rest = moved - np.einsum("ij...,kj->ki...", fit, arms)
    (yy, yx), (xy, xx) = fit
    # As complex numbers x + iy, so that a positive angle turns x towards y: down, on pictures.
    like, mirrored = np.hypot(xx + yy, yx - xy) / 2, np.hypot(xx - yy, yx + xy) / 2
    return KernelShape(
        shift=np.moveaxis(centre - middle.reshape(2, *[1] * (centre.ndim - 1)), 0, -1),
        zoom=like,
        rotation=np.degrees(np.arctan2(yx - xy, xx + yy)),
        shear=np.divide(mirrored, like, out=np.full_like(like, np.inf), where=like > 0),
        rest=np.sqrt((rest**2).sum(axis=1).mean(axis=0)),
    )


def stage_shapes(capture: Capture) -> KernelShape:
    """The shape of every cell's kernel of a deform stage: arrays [H, W]; the shift is against the cell itself."""
    stage = capture.stage
    geometry = (stage.kernel, stage.step, stage.padding, stage.dilation)
    grid = tap_grid((1, 1), *geometry)[:, :, 0, 0]
    middles = tap_grid(capture.offset.shape[-2:], *geometry).astype(np.float64).mean(axis=0)
    own = middles - grid.mean(axis=0)[:, None, None]
    return kernel_shape(grid, sampling_locations(capture.offset.astype(np.float64), *geometry) - own)


def spread(points: np.ndarray) -> float:
    """Standard deviation of points [n, 2] in their own unit: the root mean square distance from their mean."""
    return float(np.hypot(*axis_spreads(points))) if len(points) else 0.0


def axis_spreads(points: np.ndarray) -> np.ndarray:
    """The standard deviation of points [..., n, 2] along each of their two axes: [..., 2]."""
    return points.std(axis=-2)
