"""What the page knows of its visitors, in gr.States and in the choices of controls, for longer than gradio keeps it.

gradio forgets the oldest sessions as soon as there are more than state_session_capacity, and those of closed browsers
after an hour, though one that sleeps is closed too. It would then answer from the first values of all States, about
the picture that the page opens with, beside the picture that the visitor sees, and tell nobody.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from copy import copy
from typing import Any

from dlka.analysis.cache import Kept
from dlka.ui.toolkit import gr

BOUNDS = ("choices", "minimum", "maximum")  # of a control, by which gradio checks what comes from it
LIMIT = 32 * 2**20  # bytes of States of sessions that gradio has forgotten: some ten thousand


class Sessions(OrderedDict[str, Any]):
    """gradio's sessions by their hashes: of those that make room the States are kept, and what controls can choose.

    gradio forgets the oldest sessions as soon as there are more than state_session_capacity, and those of closed
    browsers after an hour, though one that sleeps is closed too. It would then answer from the first values of all
    States, about the picture that the page opens with, beside the picture that the visitor sees, and tell nobody.

    controls: of a new session, by their ids.
    """

    def __init__(self, controls: Mapping[int, Any]) -> None:
        super().__init__()
        self._controls = controls
        self.left = Kept(LIMIT)

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        """A session makes room."""
        name, session = super().popitem(last)
        changed = {i: one for i, one in session.blocks_config.blocks.items() if one is not self._controls.get(i)}
        bounds = {i: {n: v for n, v in vars(one).items() if n in BOUNDS} for i, one in changed.items()}
        bounds = {i: known for i, known in bounds.items() if known and i in self._controls}
        if session.state_data or bounds:
            self.left.put(name, (session.state_data, bounds))
        return name, session

    def __setitem__(self, name: str, session: Any) -> None:
        """A session begins, or comes back."""
        session.STATE_TTL_WHEN_CLOSED = math.inf
        if name in self.left:
            nothing: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
            values, bounds = self.left.get(name, lambda: nothing)
            session.state_data.update(values)
            for i, known in bounds.items():
                one = session.blocks_config.blocks[i] = copy(self._controls[i])
                vars(one).update(known)
                one._constructor_args = [{**one.constructor_args, **known}]  # of which gradio makes the next change
        super().__setitem__(name, session)


def keep(app: gr.Blocks) -> None:
    """Let a launched page remember its visitors."""
    app.app.state_holder.session_data = Sessions(app.default_config.blocks)
