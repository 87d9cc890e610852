"""The paper's own networks for segmentation, of volumes and of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from dlka.errors import DlkaError, short
from dlka.nets import picture, volume

__all__ = ["build_net"]

NETS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "volume": (volume.VolumeNet, volume.PRESETS),
    "picture": (picture.PictureNet, picture.PRESETS),
}


def build_net(kind: str, preset: str = "small", classes: int = 2, offsets: str = "dense", **options: Any) -> nn.Module:
    """A network with random weights, in training mode.

    kind: "volume", the 3D D-LKA Net, or "picture", the 2D one
    preset: "paper", as published (42.353 M parameters of a volume net with 14 classes; 78.583 M of a picture net with
            9, without the 23.06 M that the published code makes and never uses), or "small", for a CPU
    classes: at least 2, the background among them
    offsets: "dense", "separable" or "none", the rigid twin; of volumes also "absent"
    options: for pictures pretrained=True, weights of ImageNet for the encoder, which timm fetches from its hub

    Raises DlkaError for other words.
    """
    for name, value, words in (("kind", kind, NETS), ("preset", preset, NETS.get(kind, (None, {}))[1])):
        if value not in words:
            raise DlkaError(f"{name}: expected one of {', '.join(words)}, got {short(value)}")
    if type(classes) is not int or classes < 2:
        raise DlkaError(f"classes: expected a whole number of at least 2, got {short(classes)}")
    net, presets = NETS[kind]
    return net(presets[preset], classes, offsets, **options)
