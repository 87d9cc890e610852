"""The doctor's verdict is the builder's: of the yamls that Ultralytics ships, and of some changed at random."""

from __future__ import annotations

import random
from copy import deepcopy
from pathlib import Path

import pytest
import ultralytics

from dlka.models.build import DLKAModel, model_config
from dlka.models.model_yaml import LAYERS, ModelYamlError, are_arguments, load_model_yaml
from dlka.models.yaml_lint import diagnose

SHIPPED = Path(ultralytics.__file__).parent / "cfg" / "models"
DETECTION = [  # the small one of every family
    *("v3/yolov3-tiny", "v5/yolov5", "v5/yolov5-p6", "v6/yolov6", "v8/yolov8", "v8/yolov8-p2", "v8/yolov8-p6"),
    *("v8/yolov8-ghost", "v9/yolov9t", "v10/yolov10n", "11/yolo11", "12/yolo12", "26/yolo26", "26/yolo26-p6"),
]
VALUES = [-1, 0, 1, 2, 3, 5, 64, 255, 65536, True, False, None, 0.5, 1e-9, [3, 3], [0, 0], [], "nc", "nearest", "2"]
ARGUMENTS = [[], [64], [64, 3, 2], [64, 64, 3, 1], ["None", 2, "nearest"], [1], ["nc"], [32, 32, 8, True]]


def check_that_they_agree(model: dict) -> bool:
    """Whether the model builds; the doctor must have said so, and the same sentence where it does not."""
    report = diagnose(model)
    if report.ok:
        built = DLKAModel(model, verbose=False)
        assert built.stride.tolist() == [report.rows[i].stride for i in built.model[-1].f]
        return True
    with pytest.raises(ModelYamlError) as refusal:
        DLKAModel(model, verbose=False)
    assert report.problems[0].sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    return False


def narrow(model: dict) -> dict:
    """The same rows on few channels, which build faster."""
    return {**model, "scales": {"n": [0.33, 0.1, 256]}, "scale": "n"}


@pytest.mark.parametrize("name", DETECTION)
def test_what_ultralytics_ships_builds(name):
    assert check_that_they_agree(load_model_yaml(SHIPPED / f"{name}.yaml"))


def test_all_that_it_ships_for_other_tasks_is_refused_by_its_head_or_layers():
    for path in SHIPPED.rglob("*.yaml"):
        model = load_model_yaml(path)
        if model["head"][-1][2] not in ("Detect", "v10Detect"):
            problem = diagnose(model).problems[0].sentence
            assert "only plain detection is built here" in problem or "TorchVision downloads" in problem, path


@pytest.mark.parametrize("seed", range(4))
def test_they_agree_on_rows_changed_at_random(seed):
    draw = random.Random(seed)
    models = [narrow(model_config("neck-head")), narrow(model_config("residual"))]
    models += [narrow(load_model_yaml(SHIPPED / f"{name}.yaml")) for name in ("11/yolo11", "v9/yolov9t", "v5/yolov5")]
    seen = []
    for _ in range(10):
        model = _changed(draw, deepcopy(draw.choice(models)))
        if all(are_arguments(row[3]) for row in model["backbone"] + model["head"]):
            seen.append(check_that_they_agree(model))
        else:
            with pytest.raises(ModelYamlError, match=r"^row \d+"):
                DLKAModel(model, verbose=False)
    assert seen


def _changed(draw: random.Random, model: dict) -> dict:
    rows = model["backbone"] + model["head"]
    index = draw.randrange(len(rows))
    row = rows[index]
    change = draw.randrange(6)
    if change == 0:
        row[2] = draw.choice(sorted(LAYERS))
    elif change == 1 and row[3]:
        row[3][draw.randrange(len(row[3]))] = draw.choice(VALUES)
    elif change == 2:
        row[3].append(draw.choice(VALUES))
    elif change == 3:
        row[0] = draw.choice([-1, -2, 0, index, index + 1, [-1, index - 2], [-1], -20, [index - 1, index - 3]])
    elif change == 4:
        row[1] = draw.choice([1, 2, 9, 100])
    else:
        rows.insert(index, [-1, 1, draw.choice(sorted(LAYERS)), list(draw.choice(ARGUMENTS))])
    return {**model, "backbone": rows[:1], "head": rows[1:]}
