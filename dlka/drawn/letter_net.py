"""A net that names a letter from one cell, read through one 5x5 kernel: deformable, or one of four twins that are not;
and its training.

    picture [48, 48] -> conv 3x3, stride 2 -> conv 3x3 -> mean of 2x2: map [16, 12, 12], 4 px a cell
    cell (6, 6) of that map -> depthwise 5x5 over its taps -> [16] -> linear -> six letters

Every picture's letter lies around that cell, and differs in size, turn and stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dlka.drawn.letters import SIDE, Letters
from dlka.drawn.shapes import LETTERS
from dlka.layers import DepthwiseWeight
from dlka.offset_nets import offset_net
from dlka.ops import deform_dwconv2d
from dlka.ops.sampling import cell_to_pixel, tap_grid

CHANNELS = 16
KERNEL = (5, 5)
TAPS = 25  # K
STRIDE = 4  # px a cell of the map
MAP = SIDE // STRIDE
# The convolution's own step is half the map: four cells are computed in place of 144, and the last one, [1, 1], reads.
STEP = MAP // 2
# Reader -> the dilation of its tap grid. What the offset net of "features" gives out goes to the linear layer beside
# what the rigid kernel reads: it may learn the same from the same taps, and nothing moves.
READERS = {"deformable": 2, "features": 2, "rigid-1": 1, "rigid-2": 2, "rigid-3": 3}
_GREY, _GREYS = 45.0, 64.0  # pictures go in as (grey - 45) / 64


@dataclass(frozen=True)
class Readings:
    """What a net says of N pictures.

    probabilities  [N, 6] float32, of LETTERS, in this order
    offsets        [N, 2K] float32, of the cell that reads, in cells (of 4 px), dy and dx interleaved; zero where
                   nothing moves
    locations      [N, K, 2] float64, (x, y) in pixels of the picture: where its taps read
    grid           [K, 2] float64, (x, y): where they would without offsets
    """

    probabilities: np.ndarray
    offsets: np.ndarray
    locations: np.ndarray
    grid: np.ndarray


class LetterNet(nn.Module):
    """One reader, a key of READERS; offsets start at zero. backend: of the operator, as in deform_dwconv2d."""

    backend = "auto"

    def __init__(self, reader: str) -> None:
        super().__init__()
        self.reader, self.dilation = reader, READERS[reader]
        self.conv1 = nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.deform_conv = DepthwiseWeight(CHANNELS, KERNEL)
        beside = 0
        if reader in ("deformable", "features"):
            geometry = {"stride": STEP, "padding": 2 * self.dilation, "dilation": self.dilation}
            self.offset_net = offset_net("dense", CHANNELS, KERNEL, geometry)
            beside = 2 * TAPS if reader == "features" else 0
        self.linear = nn.Linear(CHANNELS + beside, len(LETTERS))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """pictures [N, 48, 48] uint8 -> scores [N, 6] before the softmax."""
        maps = self.maps(pictures)
        return self.scores(maps, self.net_outputs(maps))

    def maps(self, pictures: torch.Tensor) -> torch.Tensor:
        """pictures [N, 48, 48] uint8 -> [N, 16, 12, 12], what the kernel samples."""
        x = (pictures[:, None].float() - _GREY) / _GREYS
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        # A mean, not a stride: what reads between two cells reads something smooth, and offsets learn from its slope.
        return F.avg_pool2d(x, 2)

    @torch.no_grad()
    def map_of(self, picture: np.ndarray) -> np.ndarray:
        """One picture [48, 48] uint8 -> [16, 12, 12] float32, what the kernel samples."""
        return self.maps(torch.from_numpy(picture[None].copy()))[0].numpy()

    def net_outputs(self, maps: torch.Tensor) -> torch.Tensor:
        """What the offset net gives, [N, 2K, 2, 2]; zeros of a rigid reader."""
        if self.reader.startswith("rigid"):
            return maps.new_zeros(len(maps), 2 * TAPS, 2, 2)
        return self.offset_net(maps)

    def scores(self, maps: torch.Tensor, net_outputs: torch.Tensor) -> torch.Tensor:
        """[N, 6] from the map and the outputs of the offset net, the net's own or any others."""
        read = deform_dwconv2d(
            maps,
            net_outputs if self.reader == "deformable" else torch.zeros_like(net_outputs),
            self.deform_conv.weight,
            stride=STEP,
            padding=2 * self.dilation,
            dilation=self.dilation,
            backend=self.backend,
        )[:, :, 1, 1]
        if self.reader == "features":
            read = torch.cat([read, net_outputs[:, :, 1, 1]], dim=1)
        return self.linear(read)

    @torch.no_grad()
    def read(self, pictures: np.ndarray, strength: float = 1.0, offsets: np.ndarray | None = None) -> Readings:
        """Name the letters of pictures [N, 48, 48] uint8.

        strength: factor on every offset, 0 the rigid kernel; offsets: [N, 2K] in cells, to be used in place of the
        net's own (and times `strength`). Neither changes anything where nothing moves. Raises ValueError for other
        shapes and types.
        """
        if pictures.shape[1:] != (SIDE, SIDE) or pictures.dtype != np.uint8:
            raise ValueError(f"expected pictures [N, {SIDE}, {SIDE}] uint8, got {pictures.shape} {pictures.dtype}")
        maps = self.maps(torch.from_numpy(np.ascontiguousarray(pictures)))
        outputs = self.net_outputs(maps)
        moved = np.zeros((len(pictures), 2 * TAPS), np.float32)
        if self.reader == "deformable":
            if offsets is not None:
                if offsets.shape != moved.shape:
                    raise ValueError(f"expected offsets {moved.shape}, got {offsets.shape}")
                outputs = torch.from_numpy(offsets.astype(np.float32))[:, :, None, None].repeat(1, 1, 2, 2)
            outputs = outputs * strength
            moved = outputs[:, :, 1, 1].numpy()
        probabilities = self.scores(maps, outputs).softmax(dim=1).numpy()
        grid = self._locations(np.zeros((1, 2 * TAPS)))[0]
        return Readings(probabilities, moved, self._locations(moved), grid)

    def _locations(self, offsets: np.ndarray) -> np.ndarray:
        """[N, 2K] in cells -> [N, K, 2] (x, y) in pixels of the picture."""
        padding, dilation = (2 * self.dilation,) * 2, (self.dilation,) * 2
        grid = tap_grid((2, 2), KERNEL, (STEP, STEP), padding, dilation)[:, :, 1, 1].astype(np.float64)
        places = grid + offsets.reshape(-1, TAPS, 2)  # (y, x) in cells
        return cell_to_pixel(places[..., ::-1], STRIDE)


PICTURES = 3000
STEPS = 300
BATCH = 128
RATE = 0.01
OFFSET_RATE = 0.003  # faster ones throw samples far out of the picture, where nothing calls them back
OFFSET_DECAY = 2.0  # of the offset net's weights, for the same reason


def train_letter(reader: str, letters: Letters, seed: int, steps: int = STEPS) -> LetterNet:
    """A net trained from scratch on these pictures by AdamW, in evaluation mode. The same seed gives the same net.

    reader: a key of READERS; steps: of BATCH pictures, which come in a new order in every pass.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in the same order on any number of cores
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = LetterNet(reader)
        _fit(net, torch.from_numpy(letters.pictures), torch.from_numpy(letters.labels), seed, steps)
    finally:
        torch.set_num_threads(threads)
    return net.eval().requires_grad_(False)


def _fit(net: LetterNet, pictures: torch.Tensor, labels: torch.Tensor, seed: int, steps: int) -> None:
    offsets = [value for name, value in net.named_parameters() if name.startswith("offset_net.")]
    others = [value for name, value in net.named_parameters() if not name.startswith("offset_net.")]
    groups: list[dict[str, Any]] = [{"params": others, "lr": RATE}]
    if offsets:
        groups.append({"params": offsets, "lr": OFFSET_RATE, "weight_decay": OFFSET_DECAY})
    optimizer = torch.optim.AdamW(groups)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
    order = torch.empty(0, dtype=torch.int64)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(pictures), generator=draw)])
        batch, order = order[:BATCH], order[BATCH:]
        loss = F.cross_entropy(net(pictures[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
