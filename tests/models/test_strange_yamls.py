"""Model yamls as strangers send them: what is right is kept, what is wrong is said by doctor and builder alike."""

from __future__ import annotations

import os
import re
from copy import deepcopy

import pytest
from ultralytics.nn import tasks
from verdicts import CASES, verdicts

from dlka.errors import DlkaError
from dlka.models.build import DLKAModel, model_config, read_config
from dlka.models.model_yaml import ATTENTION, closest_name, flow_text, load_model_yaml, parse_model_yaml, read_text
from dlka.models.placements import PLACEMENTS
from dlka.models.yaml_lint import diagnose, fix, report_text

OURS = {"C2f_DLKA", ATTENTION, "DetectDLKA"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cbam.yaml", "row 22: CBAM [1024]: CBAM is not registered: it is not a module that YOLOv8's rows may use"),
        ("shuffle.yaml", "row 22: ShuffleAttention [1024]: ShuffleAttention is not registered"),
        ("names-code.yaml", "row 1: torch_safe_load [evil.pt]: torch_safe_load is not registered"),
        ("torchvision.yaml", "TorchVision downloads its weights, and nothing is downloaded by a yaml"),
        ("repconv.yaml", "row 0: RepConv [64, 5, 2] does not build: its arguments fail a check"),
        ("scale-is-a-dict.yaml", "scale {'a': 1} is not one of this yaml's scales: n, s, m, l, x."),
        ("yolov8m-mine.yaml", "row 22: deformable_LKA_Attention [256] gets 576 channels at this scale"),
        ("p2p3p4.yaml", ""),
    ],
)
def test_doctor_and_builder_say_the_same_of_these(name, says):
    doctor, builder = verdicts(CASES / name)
    assert says in doctor
    assert builder.startswith(doctor)
    assert bool(doctor) == bool(builder) == bool(says)
    assert "\n" not in builder


HEADS = {  # rows of p2p3p4.yaml that end with a map, by its stride
    (4,): [18],
    (8,): [21],
    (32,): [9],
    (4, 8): [18, 21],
    (8, 16): [21, 24],
    (16, 32): [24, 9],
    (4, 16): [18, 24],
    (4, 8, 16): [18, 21, 24],
    (4, 8, 16, 32): [18, 21, 24, 9],
    (16, 8, 4): [24, 21, 18],
    (4, 8, 16, 32, 64): [18, 21, 24, 9, 25],
    (8, 16, 32, 64, 128): [21, 24, 9, 25, 26],
}


@pytest.mark.slow
@pytest.mark.parametrize("strides", HEADS, ids=str)
@pytest.mark.parametrize("module", ["Detect", "DetectDLKA"])
def test_a_head_may_read_any_maps_that_the_rows_give(strides, module):
    model = load_model_yaml(CASES / "p2p3p4.yaml")
    model["head"][-1:] = [
        [9, 1, "Conv", [512, 3, 2]],
        [-1, 1, "Conv", [512, 3, 2]],
        [HEADS[strides], 1, module, ["nc"]],
    ]
    assert diagnose(model).ok
    assert DLKAModel(model, verbose=False).stride.tolist() == list(strides)


def test_a_head_is_never_mended_away():
    text = read_text(CASES / "p2p3p4.yaml")
    assert fix(text) == text
    wrong = text.replace("[[-1, 15], 1, Concat", "[[-1, 16], 1, Concat")
    with pytest.raises(DlkaError, match=r"^row \d+: Concat of rows \[-1, 16\] joins maps with strides .* by hand"):
        fix(wrong)


def test_the_anchors_of_older_yamls_are_mended():
    text = read_text(CASES / "p2p3p4.yaml")
    assert fix(f"anchors: 3\n{text}".replace("Detect, [nc]", "Detect, [nc, anchors]")) == f"anchors: 3\n{text}"
    problem = diagnose(parse_model_yaml(text.replace("Conv, [64, 3, 2]", "Conv, [64, 3, anchors]"))).problems[0]
    assert (problem.row, problem.fixed) == (0, None)


class TestNames:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("Detct", "Detect"),
            ("detect", "Detect"),
            ("Conact", "Concat"),
            ("Upsample", "nn.Upsample"),
            ("nn.upsample", "nn.Upsample"),
            ("c2f", "C2f"),
            ("C2fDLKA", "C2f_DLKA"),
            ("C2f_DLAK", "C2f_DLKA"),
            ("sppf", "SPPF"),
            ("deformable_LKA_Atention", ATTENTION),
            ("Upsampl", "nn.Upsample"),
            ("DetectDKLA", "DetectDLKA"),
            ("Deformable_LKA_attention", ATTENTION),
        ],
    )
    def test_a_plain_misspelling_is_mended(self, written, meant):
        assert closest_name(written) == meant

    @pytest.mark.parametrize(
        "name",
        [
            "ShuffleAttention",
            "CBAM",
            "PConv",
            "DConv",
            "C4",
            "C2fx",
            "SPPFCSPC",
            "DetectX",
            "Detect2",
            "Concat_BiFPN",
            "ConcatX",
            "C2f_DLKA2",
            "C2f_DCN",
            "C2f_LSKA",
            "C2f_MLKA",
            "C2f_LKA",
            "C2_DLKA",
            "DetectLKA",
            "USample",
            "LKA_Attention",
            "DeformableAttention",
            "deformable_LKA_Attention_experimental",
            "EMA",
            "GAM_Attention",
            "CoordAtt",
            "SEAttention",
            "BiFPN",
            "separable_LKA_Attention",
            "learnable_LKA_Attention",
            "steerable_LKA_Attention",
            "deformed_LKA_Attention",
            "Upscale",
        ],
    )
    def test_another_module_is_named_and_not_exchanged(self, name):
        model = load_model_yaml(CASES / "p2p3p4.yaml")
        model["head"][2][2] = name
        problem = diagnose(model).problems[0]
        assert (problem.row, problem.fixed) == (12, None)
        assert f"{name} is not registered" in problem.sentence

    @pytest.mark.parametrize(
        ("head", "task"),
        [
            ("Segment", "segmentation"),
            ("Pose", "pose"),
            ("OBB", "turned boxes"),
            ("Classify", "classification"),
            ("RTDETRDecoder", "RT-DETR"),
            ("WorldDetect", "detection by words"),
        ],
    )
    def test_heads_of_other_tasks_are_told(self, head, task):
        model = load_model_yaml(CASES / "p2p3p4.yaml")
        model["head"][-1][2:] = [head, ["nc", "kpt_shape"]]
        doctor, builder = verdicts(model)
        assert task in doctor
        assert "only plain detection is built here: Detect or DetectDLKA" in doctor
        assert builder.startswith(doctor)


class TestScale:
    @pytest.mark.parametrize("scale", [{"a": 1}, ["n"], 5, True, False, 0.5, "q", "nn", "N"])
    def test_one_that_is_none_is_refused_in_a_sentence(self, scale):
        with pytest.raises(DlkaError, match=r"^scale .* is not one of this yaml's scales: n, s, m, l, x\.$"):
            DLKAModel({**model_config("neck"), "scale": scale}, verbose=False)

    @pytest.mark.parametrize("scale", [None, ""])
    def test_none_is_the_first(self, scale):
        config = model_config("control", "n")
        config["scales"] = {"s": [0.33, 0.5, 1024], "n": [0.33, 0.25, 1024]}
        assert diagnose({**config, "scale": scale}).scale == "s"
        assert DLKAModel({**config, "scale": scale}, verbose=False).yaml["scale"] == "s"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name", ["mine.yaml", "yolov8m-mine.yaml", "yoloe-11s.yaml", "yolov8-n.yaml", "yolom.yaml"]
    )
    def test_it_is_ultralytics_own_from_the_name_in_both(self, tmp_path, name):
        text = read_text(CASES / "p2p3p4.yaml") + "scale: s\n"  # which Ultralytics does not read
        (tmp_path / name).write_text(text)
        stock = tasks.yaml_model_load(tmp_path / name)["scale"] or "n"
        assert diagnose(read_config(tmp_path / name)).scale == stock
        assert DLKAModel(tmp_path / name, verbose=False).yaml["scale"] == stock

    def test_a_name_with_a_scale_stands_for_the_file_without(self, tmp_path):
        (tmp_path / "yolov8-mine.yaml").write_text(read_text(CASES / "p2p3p4.yaml"))
        assert diagnose(read_config(tmp_path / "yolov8s-mine.yaml")).scale == "s"
        assert DLKAModel(tmp_path / "yolov8s-mine.yaml", verbose=False).yaml["scale"] == "s"
        with pytest.raises(DlkaError, match=r"^yolov8x-mine\.yaml: its name asks for scale 'x', .* scales: n, s, m"):
            read_config(tmp_path / "yolov8x-mine.yaml")


GOOD = read_text(CASES / "p2p3p4.yaml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("nc: 3", "nc: !!int ''", "tag"),
        ("nc: 3", "nc: !!bool x", "tag"),
        ("nc: 3", "nc: !!timestamp x", "tag"),
        ("nc: 3", "nc: 2026-11-28", "nc must be a whole number from 1 to 10000, got datetime.date"),
        ("nc: 3", f"nc: {'9' * 400}", "nc must be"),
        ("nc: 3", f"nc: {'9' * 400}.5", "nc must be"),
        ("nc: 3", "nc: True", "nc must be"),
        ("nc: 3", "nc: -3", "nc must be"),
        ("nc: 3", "nc: .inf", "nc must be"),
        ("nc: 3", "", "nc must be"),
        ("nc: 3", "nc: 3\nreg_max: 100000", "reg_max must be"),
        ("nc: 3", "nc: 3\nend2end: maybe", "end2end must be"),
        ("nc: 3", "nc: 3\nwidth_multiple: .nan", "width_multiple must be"),
        ("nc: 3", "nc: 3\n? [a]\n: b", "not valid yaml"),
        ("nc: 3", "nc: 3\n<<: 5", "not valid yaml"),
        ("nc: 3", "nc: 3\n1: 2", "expected a mapping"),
        ("  s: [0.33, 0.50, 1024]", "  n: [0.33, 0.50, 1024]", "'n' is given twice"),
        ("  s: [0.33, 0.50, 1024]", "  s: [0.33, 1e400, 1024]", "scale 's' must be"),
        ("  s: [0.33, 0.50, 1024]", "  s: [0.33, -0.5, 1024]", "scale 's' must be"),
        ("  s: [0.33, 0.50, 1024]", "  s: 0.5", "scale 's' must be"),
        ("Conv, [64, 3, 2]", f"Conv, [{'9' * 400}, 3, 2]", "row 0: args must be"),
        ("Conv, [64, 3, 2]", "Conv, [.inf, 3, 2]", "row 0: args must be"),
        ("Conv, [64, 3, 2]", "Conv, [64, {a: 1}]", "row 0: args must be"),
        ("Conv, [64, 3, 2]", "Conv, [64, 2026-11-28]", "row 0: args must be"),
        ("Conv, [64, 3, 2]", "Conv, 64", "row 0: args must be"),
        ("1, Conv, [64, 3, 2]", "Conv, [64, 3, 2]", "row 0 must be [from, repeats, module, args]"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, 2], 5", "row 0 must be [from, repeats, module, args]"),
        ("[-1, 1, Conv, [64, 3, 2]]", "[-1, 1.5, Conv, [64, 3, 2]]", "row 0: repeats must be"),
        ("[-1, 1, Conv, [64, 3, 2]]", "[True, 1, Conv, [64, 3, 2]]", "row 0: 'from' must be"),
        ("[-1, 1, Conv, [64, 3, 2]]", "[99999, 1, Conv, [64, 3, 2]]", "row 0: 'from' must be"),
        ("[-1, 1, Conv, [64, 3, 2]]", "[-1, 1, 5, [64, 3, 2]]", "row 0: expected the name of a module"),
        ("\nhead:", "\nhat:", "head must be a list"),
    ],
)  # fmt: skip
def test_odd_values_are_refused_in_one_sentence(tmp_path, old, new, says):
    assert GOOD.count(old) == 1
    (tmp_path / "m.yaml").write_text(GOOD.replace(old, new))
    doctor, builder = verdicts(tmp_path / "m.yaml")
    assert says in doctor
    assert doctor == builder
    assert len(doctor) < 400
    assert "\n" not in doctor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[-1, 1, Conv, [64, 3, 2]]", "[5, 1, Conv, [64, 3, 2]]", "row 0: 'from' 5 names a row"),
        ("[[-1, 6], 1, Concat, [1]]", "[[-1, 60], 1, Concat, [1]]", "row 11: 'from' [-1, 60] names a row"),
        ("[[-1, 6], 1, Concat, [1]]", "[[-1, -60], 1, Concat, [1]]", "row 11: 'from' [-1, -60] names a row"),
        ("[[-1, 6], 1, Concat, [1]]", "[-1, 1, Concat, [1]]", "row 11: Concat reads several rows"),
        ("Conv, [64, 3, 2]", "Conv, [-64, 3, 2]", "row 0: Conv [-64, 3, 2] does not build"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, True]", "row 0: Conv [64, 3, True] does not build"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, 0]", "row 0: Conv [64, 3, 0] does not build"),
        ("Conv, [64, 3, 2]", "Conv, [64, 0, 2]", "row 0: Conv [64, 0, 2] does not build: the kernel size"),
        ("Conv, [64, 3, 2]", "Conv, [64, 300, 300]", "row 11: Concat of rows [-1, 6] joins maps with strides"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, 2, 1, 7]", "row 0: Conv [64, 3, 2, 1, 7] does not build"),
        ("C2f_DLKA, [128]", "C2f_DLKA, [128, True, 2]", "C2f_DLKA has no groups"),
        ("1, Detect, [nc]", "2, Detect, [nc]", "row 25: Detect must be the last row, once"),
        ("nc: 3", "nc: 3\noffset: none", "offsets: expected the key to be written offsets"),
        ("Detect, [nc]]", "Detect, [nc]]\n  - [-1, 1, Conv, [64]]", "row 25: Detect must be the last row"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_told_by_both_with_their_row(tmp_path, old, new, says):
    assert GOOD.count(old) == 1
    (tmp_path / "m.yaml").write_text(GOOD.replace(old, new))
    doctor, builder = verdicts(tmp_path / "m.yaml")
    assert doctor
    assert says in doctor
    assert builder.startswith(doctor)


@pytest.mark.parametrize(
    ("module", "args", "says"),
    [
        ("Conv", [256, 0, 1], "the kernel size of a convolution is at least 1, got (0, 0)"),
        ("Conv", [256, 1, 1, -1], "the padding of a convolution is at least 0, got (-1, -1)"),
        ("Conv", [256, 3, 1, 1, 1, 0], "the dilation of a convolution is at least 1, got (0, 0)"),
        ("nn.ConvTranspose2d", [256, 0, 1], "the kernel size of a convolution is at least 1"),
        ("nn.ConvTranspose2d", [256, 2, 1, 0, 1], "output padding is less than stride or dilation, got (1, 1)"),
    ],
)
def test_what_no_convolution_computes_with_is_told_by_both_with_its_row(module, args, says):
    model = load_model_yaml(CASES / "p2p3p4.yaml")
    model["head"].insert(-1, [-1, 1, module, args])
    doctor, builder = verdicts(model)
    assert doctor.startswith(f"row 25: {module} {flow_text(args)} does not build: {says}")
    assert builder.startswith(doctor)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([-1, 1, "nn.MaxPool2d", [40]], r": Given input .*; Calculated output .*; Output size is too small$"),
        ([18, 1, "nn.Upsample", ["None", 2, "bilinear", 5]], r", tuple \.\.\. \(its arguments are .*\)$"),
    ],
)
def test_what_torch_says_is_one_sentence_of_whole_words(row, says):
    model = load_model_yaml(CASES / "p2p3p4.yaml")
    model["head"].insert(-1, row)
    sentence = diagnose(model).problems[0].sentence
    assert re.search(says, sentence), sentence
    assert ". " not in sentence.replace("... ", "")


def test_what_nobody_reads_is_noted():
    model = {**load_model_yaml(CASES / "p2p3p4.yaml"), "names": {0: "a"}, "anchors": 3}
    assert "note: nobody reads anchors, names." in report_text(diagnose(model))


def test_attention_that_the_head_passes_by_is_noted():
    model = model_config("residual")
    model["head"][-1][0] = [15, 20, 24]
    assert any("reads row 15 and passes by the attention" in note for note in diagnose(model).notes)
    assert diagnose(model_config("residual")).notes == diagnose(deepcopy(model_config("residual"))).notes


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "zero byte"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe.yaml")
    path = {"pipe": tmp_path / "pipe.yaml", "folder": tmp_path, "device": "/dev/zero", "zero byte": "a\0.yaml"}[kind]
    with pytest.raises(DlkaError, match="cannot be read"):
        read_text(path)


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("scale", ["n", "x"])
def test_the_projects_own_yamls_pass_without_the_builders_shortcut(placement, scale):
    report = diagnose(model_config(placement, scale))
    assert report.ok
    assert [found.stride for row, found in zip(report.rows, report.maps) if row[2] == "SPPF"] == (
        [] if "one-level" in placement else [32]
    )
    assert not report.notes or "deformable" not in " ".join(report.notes)
