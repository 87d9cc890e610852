"""A small data set of volumes, and a network that was trained on it for a few steps."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from dlka.segment import training
from dlka.train.recipe import SegmentRecipe


@pytest.fixture(scope="session")
def balls(tmp_path_factory):
    """Volumes with a bright ball in noise; the ball is part 1, its upper half part 2."""
    folder = tmp_path_factory.mktemp("balls")
    rng = np.random.default_rng(0)
    cells = np.stack(np.meshgrid(*map(np.arange, (20, 22, 18)), indexing="ij"), -1)
    for part, count in (("train", 3), ("val", 2)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(count):
            away = cells - rng.uniform(7, 12, 3)
            ball = np.linalg.norm(away, axis=-1) < 5
            labels = (ball * (1 + (away[..., 2] > 0))).astype(np.uint8)
            values = (100 * ball + rng.normal(0, 10, ball.shape)).astype(np.float32)
            for kind, data in (("images", values), ("labels", labels)):
                nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / kind / part / f"ball-{number}.nii.gz")
    (folder / "data.yaml").write_text("names: {1: lower, 2: upper}")
    return folder


@pytest.fixture(scope="session")
def trained(balls, tmp_path_factory):
    """The weights file of a network after two steps."""
    folder = tmp_path_factory.mktemp("trained")
    patch = pytest.MonkeyPatch()
    patch.setitem(training.CROPS, "volume", 16)
    training.train(SegmentRecipe(str(balls), steps=2), folder / "balls.safetensors", folder / "run", print)
    patch.undo()
    return folder / "balls.safetensors"
