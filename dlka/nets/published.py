"""Weights that were trained with the paper's own code: the same names, and what its files hold besides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from dlka.errors import DlkaError

# What the published code makes and its forward never calls; the heads of the encoder's own classes.
UNUSED = re.compile(
    r"decoder_3\.(x1_linear|layer_lka_[12]|last_layer)\.|backbone\.(conv\.|out_head\d|backbone\.head\.)"
)


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
