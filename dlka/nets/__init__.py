"""The paper's own networks for segmentation, of volumes and of pictures: built, judged by a loss, filled with the
weights of its own code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlka.errors import DlkaError, short
from dlka.nets import picture, volume

SMOOTH = 1e-5  # of soft Dice
# What the published code makes and its forward never calls; the heads of the encoder's own classes.
UNUSED = re.compile(
    r"decoder_3\.(x1_linear|layer_lka_[12]|last_layer)\.|backbone\.(conv\.|out_head\d|backbone\.head\.)"
)
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


def soft_dice_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """1 minus the mean soft Dice of all classes but the background (class 0), each over the whole batch.

    scores [N, classes, ...], before softmax; labels [N, ...], whole numbers. Returns a number in 0..1.
    """
    chances = scores.softmax(1).movedim(1, -1).flatten(0, -2)
    truth = F.one_hot(labels.flatten(), scores.shape[1]).to(chances)
    both, either = (chances * truth).sum(0)[1:], (chances + truth).sum(0)[1:]
    return 1 - ((2 * both + SMOOTH) / (either + SMOOTH)).mean()


def segmentation_loss(outputs: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy; of several heads the weighted mean, each worth half of the one before it.

    outputs: scores [N, classes, ...], or a list of them, the finest first: three weigh 4/7, 2/7 and 1/7. labels
    [N, ...], whole numbers, of the finest size; for the others they are sampled at the nearest cell.
    """
    heads = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    weights = [2.0**-i for i in range(len(heads))]
    total = torch.zeros((), device=labels.device)
    for weight, scores in zip(weights, heads):
        small = F.interpolate(labels.unsqueeze(1).float(), scores.shape[2:], mode="nearest-exact")[:, 0].long()
        total = total + weight * (soft_dice_loss(scores, small) + F.cross_entropy(scores, small))
    return total / sum(weights)


def load_published(net: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Put a state dict of the paper's code into a net of build_net with preset "paper", and say which keys were left.

    state: names as the paper's code gives them, with or without "module." before them; the volume net's encoder may be
    called d_lka_former_encoder or unetr_pp_encoder. Returns the names of what is never used. Raises DlkaError where
    anything else is missing, does not belong, is there twice, has another shape or values that are not finite; the net
    is then as it was.
    """
    own, given, left = net.state_dict(), {}, []
    for name, value in state.items():
        new = name.removeprefix("module.").replace("unetr_pp_encoder.", "d_lka_former_encoder.")
        if UNUSED.match(new) and new not in own:
            left.append(name)
        elif new in given:
            raise DlkaError(f"{new}: expected one tensor, got two, with and without a prefix; keep one of them")
        else:
            given[new] = value
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or extra:
        raise DlkaError(
            f"expected the paper's weights of this net: {len(missing)} are missing "
            f"({missing[0] if missing else 'none'}) and {len(extra)} do not belong "
            f"({extra[0] if extra else 'none'}); build the net that they were made with"
        )
    for name, value in given.items():
        if value.shape != own[name].shape:
            raise DlkaError(
                f"{name}: expected {list(own[name].shape)}, got {list(value.shape)}; are the classes the same?"
            )
        if bad := int((~value.isfinite()).sum()):
            raise DlkaError(f"{name}: expected finite values, got {bad} that are none; the file is damaged")
    net.load_state_dict(given)
    return left
