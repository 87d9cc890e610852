"""Small labelled data sets on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from ultralytics.utils import ASSETS

from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.models.catalog import find
from dlka.models.weights import load_model, save_weights


def data_set(folder: Path, names, labels: dict[str, tuple[np.ndarray, list[str]]]) -> Path:
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": names}))
    for stem, (image, lines) in labels.items():
        Image.fromarray(image).save(folder / "images/val" / f"{stem}.png")
        (folder / "labels/val" / f"{stem}.txt").write_text("\n".join(lines))
    return folder


def found_by(model: str, folder: Path, images: dict[str, np.ndarray], size: int) -> Path:
    """Pictures labelled with what a model itself finds in them; classes in an order of their own."""
    predictor = load_predictor(model, "cpu")[0]
    found = {
        k: predictor.predict(v, confidence=0.25, size=size, multi_label=True).detections for k, v in images.items()
    }
    kept = sorted({int(c) for f in found.values() for c in f.classes}, reverse=True)
    names = {i: predictor.names[c] for i, c in enumerate(kept)}
    labels = {}
    for stem, image in images.items():
        height, width = image.shape[:2]
        lines = []
        for (x1, y1, x2, y2), number in zip(found[stem].boxes / [width, height, width, height], found[stem].classes):
            lines.append(f"{kept.index(number)} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}")
        labels[stem] = (image, lines)
    assert sum(len(lines) for _, lines in labels.values()) >= 4
    return data_set(folder, names, labels)


def lively_residual(folder: Path, gates: float, offsets: float) -> str:
    """A weights file whose blocks and offsets matter more than in `residual`, of which it is made: by these factors on
    the last convolution of each block and on the offset nets."""
    model, card = load_model(find("residual"))
    state = model.state_dict()
    for name in state:
        state[name] *= gates if ".proj_2." in name else offsets if ".offset_net." in name else 1
    path = folder / "lively.safetensors"
    save_weights(path, state, card)
    return str(path)


def four_toys(model: str, folder: Path, size: int) -> Path:
    """Four pictures of two shapes, labelled with what the model itself finds."""
    bus, zidane = read_image(ASSETS / "bus.jpg"), read_image(ASSETS / "zidane.jpg")
    images = {"a": bus, "b": bus[:, ::-1], "c": zidane[:, 200:], "d": zidane[:, :800]}
    return found_by(model, folder, images, size)
