"""A network that segments, ready to look: a scan in; labels, and what its deform stages sampled, out."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.layers import DeformConv
from dlka.layers3d import DeformConv3d
from dlka.models.checkpoint import sha256
from dlka.nets.sliding import slide
from dlka.segment.net_file import NetCard, load_net
from dlka.segment.scans import Scan
from dlka.shipped import WEIGHTS

FOLDER = WEIGHTS / "segment"
WHOLE = {"volume": 2**20, "picture": 2**20}  # cells that go in at once; what is larger goes in by windows
WINDOW = {"volume": 64, "picture": 512}


@dataclass(frozen=True)
class StageField:
    """What one deform stage sampled in a scan; a picture's has one layer of cells.

    label            for example "encoder 1, 27 taps"
    offset           float32 [D, H, W, K, 3], (dz, dy, dx) in cells of its own map
    kernel, dilation three numbers, in cells
    stride           cells of the scan for one of the map, three numbers
    reach            cells of the whole map, in which taps read; D, H and W are without those of the padding alone
    weights          [K] mean of |weight| of each tap
    gate             float32 [D, H, W], mean over channels of what the block multiplies by
    """

    label: str
    offset: np.ndarray
    kernel: tuple[int, int, int]
    dilation: tuple[int, int, int]
    stride: tuple[int, int, int]
    reach: tuple[int, int, int]
    weights: np.ndarray
    gate: np.ndarray


@dataclass(frozen=True)
class Segmentation:
    """labels uint8 [*space]; stages in the order they ran, none where the scan went in by windows or nothing deforms;
    strength: what offsets were multiplied by; network: name and SHA-256 of the network's file, where it is of one."""

    labels: np.ndarray
    stages: tuple[StageField, ...]
    strength: float
    network: Mapping[str, str] = field(default_factory=dict)


def shipped() -> dict[str, Path]:
    """Id -> file of the networks that ship."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"), key=lambda path: path.stem)}


class Segmenter:
    """One network. Safe to call from several threads: they take turns."""

    def __init__(
        self, net: nn.Module, card: NetCard, device: torch.device | None = None, file: Path | None = None
    ) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net, self.card = net.to(self.device), card
        self.network = {"file": file.name, "sha256": sha256(file)} if file else {}
        self.volumes = card.net == "volume"
        self.deforms = card.offsets != "none"
        self._lock = threading.Lock()

    @classmethod
    def of(cls, model: str) -> Segmenter:
        """That of an id of `shipped`, or of a file; the last few stay in memory. Raises DlkaError."""
        path = shipped().get(model, Path(model))
        if model not in shipped() and not path.is_file():
            if path.suffix:
                raise DlkaError(f"{model}: there is no such file.")
            known = f"one of {', '.join(shipped())}, or " if shipped() else ""
            raise DlkaError(f"{model}: expected {known}the file of a network that segments, as train-seg makes it.")
        return _loaded(str(path), path.stat().st_mtime_ns)

    def look(self, scan: Scan, strength: float = 1.0) -> Segmentation:
        """Segment a scan; strength: what every offset is multiplied by, 0 is the rigid kernel. Raises DlkaError for a
        picture where the network knows volumes, and the other way round."""
        if (scan.nifti is not None) != self.volumes:
            wanted, got = ("a volume", "a picture") if self.volumes else ("a picture", "a volume")
            raise DlkaError(f"{scan.name}: this network segments {wanted}; it was given {got}.")
        kind = self.card.net
        multiples: Any = self.net.multiple
        multiples = (multiples,) * len(scan.space) if isinstance(multiples, int) else multiples
        sides = [-(-side // multiple) * multiple for side, multiple in zip(scan.space, multiples)]
        x = torch.from_numpy(scan.values)[None].to(self.device)
        least = float(scan.values.min())  # what lies beyond the border, as in training
        pads = [p for side, own in zip(sides[::-1], scan.space[::-1]) for p in (0, side - own)]
        x = nn.functional.pad(x, pads, value=least)
        crop: Any = self.net.crop  # the only size that a network of the paper's own takes
        whole = x[0, 0].numel() <= WHOLE[kind] if crop is None else tuple(sides) == crop
        window = crop or [min(max(own, WINDOW[kind] // own * own), side) for own, side in zip(multiples, sides)]
        with self._lock, torch.inference_mode(), _watched(self.net, strength) as records:
            output = self.net(x) if whole else slide(self.net, x, window)
        if not bool(output.isfinite().all()):
            raise DlkaError("The network's output is not finite, so its labels mean nothing: the weights are damaged.")
        labels = output[0].argmax(0).to(torch.uint8).cpu().numpy()[tuple(map(slice, scan.space))]
        ran = [record for record in records if record.offset is not None]
        stages = tuple(_field(record, sides, scan.space) for record in ran) if whole else ()
        return Segmentation(np.ascontiguousarray(labels), stages, strength, self.network)


@lru_cache(maxsize=4)
def _loaded(path: str, _changed: int) -> Segmenter:
    return Segmenter(*load_net(path), file=Path(path))


@dataclass
class _Record:
    """What one deform stage was seen to do: its layer, its name in the network, its offsets [1, axes K, *map] and the
    gate [1, C, *map] of its block."""

    name: str
    layer: Any
    offset: Any = None
    gate: Any = None


@contextmanager
def _watched(net: nn.Module, strength: float) -> Iterator[list[_Record]]:
    """Scale the offsets of every deform stage and keep what was sampled, while the context is open."""
    stages = [(name, m) for name, m in net.named_modules() if isinstance(m, DeformConv | DeformConv3d)]
    records = [_Record(name, layer) for name, layer in stages]

    def scale(record: _Record, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        record.offset = output * strength
        return record.offset

    def keep(record: _Record, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        record.gate = output

    with ExitStack() as hooks:
        for record in records:
            block: Any = net.get_submodule(record.name.rpartition(".")[0])  # a DeformableLKA or VolumeGate
            hooks.enter_context(record.layer.offset_net.register_forward_hook(partial(scale, record)))
            hooks.enter_context(block.conv1.register_forward_hook(partial(keep, record)))
        yield records


def _field(record: _Record, sides: list[int], space: tuple[int, ...]) -> StageField:
    """What was seen as plain arrays, without the cells that lie in the padding alone."""
    axes = len(sides)
    stride = [side // own for side, own in zip(sides, record.offset.shape[2:])]
    cells = [-(-own // step) for own, step in zip(space, stride)]
    kept = tuple(map(slice, cells))
    every = (slice(None), *kept)
    values = record.offset[0].float().cpu().numpy()[every]
    offset = np.moveaxis(values.reshape(-1, axes, *cells), (0, 1), (-2, -1))  # [*map, K, axes]
    gate = record.gate[0].float().mean(0).cpu().numpy()[kept]
    if axes == 2:
        offset = np.concatenate([np.zeros_like(offset[..., :1]), offset], -1)[None]
        gate = gate[None]
    weight = record.layer.weight if axes == 3 else record.layer.deform_conv.weight
    return StageField(
        label=_label(record.name, record.layer.kernel_size),
        offset=np.ascontiguousarray(offset, np.float32),
        kernel=_deep(record.layer.kernel_size),
        dilation=_deep(record.layer.dilation),
        stride=_deep(stride),
        reach=_deep(record.offset.shape[2:]),
        weights=weight.detach().float().abs().mean((0, 1)).flatten().cpu().numpy(),
        gate=np.ascontiguousarray(gate, np.float32),
    )


def _label(name: str, kernel: tuple[int, ...]) -> str:
    """What a stage is called by its place in the network, with the paper's numbers of decoders: "encoder 1, block 1,
    3x3x3" of d_lka_former_encoder.stages.0.0..., "decoder 5, block 1, 3x3x3" of decoder5.decoder_block.0.0..., and
    "decoder 2, block 1, 5x5" of decoder_2.layer_lka_1..."""
    numbers = [int(number) for number in re.findall(r"\d+", name.partition(".spatial_gating_unit")[0])]
    first, block = numbers[0], numbers[-1] + (0 if "layer_lka" in name else 1)
    place = f"encoder {first + 1}" if "encoder" in name else f"decoder {first}"
    return f"{place}, block {block}, {'x'.join(map(str, kernel))}"


def _deep(values: Any) -> tuple[int, int, int]:
    """Three numbers, also of a picture or of one for all axes."""
    if isinstance(values, int):
        return values, values, values
    first, *rest = [*[1] * (3 - len(values)), *map(int, values)]
    return first, rest[0], rest[1]
