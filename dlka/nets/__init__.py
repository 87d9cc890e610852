"""The paper's own networks, which segment: `build_net`."""

from __future__ import annotations

from torch import nn

from dlka.errors import DlkaError

KINDS, PRESETS = ("volume", "picture"), ("small", "paper")


def build_net(kind: str, preset: str = "small", classes: int = 2, offsets: str = "dense") -> nn.Module:
    """A network with random weights.

    kind     "volume": the 3D D-LKA Net, [N, 1, D, H, W] in; "picture": the 2D D-LKA Net, [N, 3, H, W] in
    preset   "paper": as published; "small": the same with fewer channels and blocks, which trains on a CPU
    classes  the background included
    offsets  "dense" (as published), "separable", or "none" for the rigid twin

    In training it returns a list of logits [N, classes, *map], the full size first; else the full size alone. Raises
    DlkaError for words that are none of these.
    """
    for name, word, words in (("kind", kind, KINDS), ("preset", preset, PRESETS)):
        if word not in words:
            raise DlkaError(f"{name}: expected one of {', '.join(words)}, got {word!r:.40}.")
    if kind == "volume":
        from dlka.nets.volume import volume_net

        return volume_net(preset, classes, offsets)
    from dlka.nets.picture import picture_net  # imports timm, which takes seconds

    return picture_net(preset, classes, offsets)
