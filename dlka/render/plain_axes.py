"""Axes that only carry coordinates: ordinary ones make ticks and frames, at every drawing, that nobody sees."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis


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
    """Axes without ticks, grid, frame or labels; to be switched off with ``set_axis_off()``.

    What is overridden is what matplotlib's own projections override: which axis objects and spines there are.
    """

    def _init_axis(self) -> None:
        self.xaxis, self.yaxis = _X(self, clear=False), _Y(self, clear=False)

    def _gen_axes_spines(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def grid(self, *args: Any, **kwargs: Any) -> None:
        pass
