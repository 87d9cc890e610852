"""Model yamls that would run code, change the process or fill the machine are refused before anything is built."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from ultralytics.nn import tasks
from ultralytics.nn.modules import Conv, Detect
from verdicts import CASES, verdicts, with_row

from dlka.errors import DlkaError
from dlka.models.blocks import C2f_DLKA
from dlka.models.build import DLKAModel, model_config
from dlka.models.model_yaml import ATTENTION, LAYERS, parse_model_yaml, read_text, refusal
from dlka.models.yaml_lint import diagnose

OURS = {"C2f_DLKA", ATTENTION, "DetectDLKA", "Detect1x1"}


class TestNoCode:
    @pytest.mark.slow
    def test_a_name_of_the_parsers_file_is_not_called(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "it-ran"),)

        torch.save(Evil(), tmp_path / "evil.pt")
        (tmp_path / "m.yaml").write_bytes((CASES / "names-code.yaml").read_bytes())
        run = subprocess.run(
            [sys.executable, "-c", "import dlka; dlka.YOLO('m.yaml')"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "ULTRALYTICS_SAFE_LOAD": "0"},
        )
        assert "DlkaError: row 1: torch_safe_load" in run.stderr
        assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.pt", "m.yaml"]

    @pytest.mark.slow
    @pytest.mark.parametrize("module", ["dlka.yolo", "dlka.models.build", "dlka.train.recipe_trainer"])
    def test_ultralytics_is_imported_offline_and_takes_no_pickle_of_more_than_layers(self, module):
        said = f"import {module}, ultralytics.utils as u; print(u.AUTOINSTALL, u.ONLINE, u.SAFE_LOAD)"
        mine = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO_", "ULTRALYTICS_"))}
        run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, env=mine)
        assert run.stdout == "False False True\n", run.stderr

    def test_only_layers_may_be_named_and_all_of_them_are(self):
        for name in LAYERS - OURS - {"Silence"}:  # Silence: what YOLOv9's first yamls called nn.Identity
            layer = getattr(nn, name[3:]) if name.startswith("nn.") else vars(tasks)[name]
            assert issubclass(layer, nn.Module), name
        callables = {name for name, value in vars(tasks).items() if callable(value)}
        assert callables - LAYERS >= {"torch_safe_load", "check_requirements", "check_file", "TorchVision", "eval"} - {
            "eval"
        }
        assert all(refusal(name) for name in callables - LAYERS)

    @pytest.mark.parametrize(
        "name",
        ["nn.Module", "nn.init", "nn.LazyConv2d", "torchvision.ops.nms", "ast", "__import__", "nn.modules.Conv2d"],
    )
    def test_other_names_are_refused_by_both(self, name):
        doctor, builder = verdicts(with_row(2, [-1, 1, name, []]))
        assert f"{name} is not registered" in doctor
        assert builder.startswith(doctor)

    def test_a_dict_is_checked_like_a_file(self):
        for wrong in ({"activation": "print('x')"}, {"scale": ["n"]}, {"nc": 10**400}, {"backbone": [[-1, 1, "Conv"]]}):
            with pytest.raises(DlkaError):
                DLKAModel({**model_config("neck"), **wrong}, verbose=False)

    @pytest.mark.parametrize("word", ["d", "ast", "layers", "args", "self", "weights.pt", "os.system", "1+2j"])
    def test_an_argument_is_not_looked_up_as_a_name(self, word):
        text = read_text(CASES / "p2p3p4.yaml").replace("Conv, [64, 3, 2]", f"Conv, [64, 3, {word}]")
        with pytest.raises(DlkaError, match="row 0: args must be"):
            parse_model_yaml(text)

    def test_a_misspelt_row_does_not_carry_such_an_argument_in(self):
        text = read_text(CASES / "p2p3p4.yaml").replace("Conv, [64, 3, 2]", "conv, [64, 3, layers]")
        problem = diagnose(parse_model_yaml(text)).problems[0]
        assert (problem.row, problem.fixed) == (0, None)
        assert "conv is not registered" in problem.sentence


class TestActivation:
    @pytest.mark.parametrize("act", ["torch.nn.ReLU()", "nn.LeakyReLU(0.1)", "nn.ReLU(inplace=True)"])
    def test_a_plain_one_is_built_in_stock_and_in_dlka_blocks(self, act):
        model = DLKAModel({**model_config("neck-head"), "activation": act}, verbose=False)
        kind = getattr(nn, act.split("nn.")[1].split("(")[0])
        block = next(m for m in model.modules() if isinstance(m, C2f_DLKA))
        assert isinstance(model.model[0].act, kind)
        assert isinstance(block.m[0].cv1.act, kind)
        assert isinstance(model.model[-1].cv3[0][0].act, kind)
        assert isinstance(Conv.default_act, nn.SiLU)

    @pytest.mark.parametrize(
        "act",
        [
            "__import__('os').system('x')",
            "nn.Module()",
            "nn.SiLU",
            "nn.ReLU(__import__('os'))",
            "nn.ReLU();1",
            5,
            ["a"],
        ],
    )
    def test_what_is_more_than_that_is_refused(self, act):
        with pytest.raises(DlkaError, match=r"^activation is Python code"):
            DLKAModel({**model_config("neck"), "activation": act}, verbose=False)

    def test_a_model_that_does_not_build_leaves_no_setting_behind(self):
        config = with_row(2, [-1, 1, "RepConv", [64, 5, 2]])
        legacy = Detect.legacy
        assert "RepConv" in verdicts({**config, "activation": "nn.ReLU()"})[1]
        assert isinstance(Conv.default_act, nn.SiLU)
        assert Detect.legacy is legacy


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        [-1, 1, "Conv", [65536, 32, 2]],
        [-1, 1, "Conv", [64, 65536, 2]],
        [-1, 1, "DWConv", [64, 4097, 1]],
        [-1, 100, "Conv", [65536]],
        [-1, 100, "C2f", [65536, True]],
        [-1, 1, "SPPF", [64, 5, 65536]],
        [-1, 1, "RepNCSPELAN4", [64, 64, 64, 65536]],
        [-1, 1, "ResNetLayer", [16, 16, 1, False, 65536]],
        [-1, 1, "nn.Upsample", ["None", 65536, "nearest"]],
        [-1, 1, "nn.Upsample", [[65536, 65536], "None", "nearest"]],
        [-1, 1, "nn.ZeroPad2d", [65536]],
        [-1, 1, "nn.AdaptiveAvgPool2d", [65536]],
        [-1, 1, "nn.MaxPool2d", [255, 1, 127]],
        [-1, 1, "AIFI", [65536, 8]],
    ],
)
def test_what_would_fill_the_machine_is_refused_at_once_and_by_both(row):
    diagnose(with_row(1, [-1, 1, "Focus", [64]]))  # imports, which are not what is timed
    config = {**with_row(1, row), "scale": "x"}
    start = time.process_time()
    doctor, builder = verdicts(config)
    assert time.process_time() - start < 30
    assert doctor.startswith("row ")
    assert builder.startswith(doctor)


def test_attention_on_many_channels_is_counted_too():
    config = model_config("control")
    config["scales"] = {"n": [1, 1, 65536]}
    config["backbone"] = [[-1, 1, "DWConv", [6144, 3, 8]], [-1, 3, ATTENTION, []], [-1, 1, "Conv", [64]]]
    config["head"] = [[[2], 1, "Detect", ["nc"]]]
    doctor, builder = verdicts(config)
    assert doctor.startswith(
        f"row 1: {ATTENTION} [] does not build: with it the model takes more than 500,000,000 values"
    )
    assert builder.startswith(doctor)
