"""The lint against the article's two listings, Ultralytics' parser, mistakes made on purpose, and the builder."""

from __future__ import annotations

import random
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import ultralytics
from hypothesis import given, settings
from hypothesis import strategies as st

from dlka.errors import DlkaError
from dlka.models.build import DLKAModel, model_config
from dlka.models.model_yaml import LAYERS, are_arguments, load_model_yaml, parse_model_yaml, read_text, scale_in_name
from dlka.models.yaml_lint import diagnose, fix, report_text

HERE = Path(__file__).parent
ONE, TWO = HERE / "article_one.yaml", HERE / "article_two.yaml"
DOWNSAMPLING = {1: 128, 3: 256, 5: 512, 7: 1024, 16: 256, 19: 512}  # row -> channels, in the article's yaml one


def edited(path: Path, *changes: tuple[str, str]) -> str:
    """The text of a yaml with every change made once."""
    text = read_text(path)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def found(text: str, scale: str | None = None) -> dict[int | None, tuple[str, list | None]]:
    return {p.row: (p.sentence, p.fixed) for p in diagnose(parse_model_yaml(text), scale).problems}


def stock(model: dict, scale: str) -> dict:
    """The same graph of stock modules: what Ultralytics itself can build."""
    model = deepcopy(model)
    for row in model["backbone"] + model["head"]:
        row[2] = {"C2f_DLKA": "C2f", "DetectDLKA": "Detect", "deformable_LKA_Attention": "nn.Identity"}.get(
            row[2], row[2]
        )
    return {**model, "scale": scale}


def test_the_first_listing_is_refused_with_exactly_its_six_wrong_rows():
    problems = found(read_text(ONE))
    assert {row: mended for row, (_, mended) in problems.items()} == {
        row: [-1, 1, "Conv", [channels, 3, 2]] for row, channels in DOWNSAMPLING.items()
    }
    text = report_text(diagnose(load_model_yaml(ONE)))
    assert "row 1: Conv [128] has kernel 1 and stride 1" in text
    assert "did you mean [-1, 1, Conv, [128, 3, 2]]?" in text


def test_the_second_listing_is_right_and_its_repeats_are_noted():
    report = diagnose(load_model_yaml(TWO))
    assert report.ok
    assert [note.split(":")[0] for note in report.notes] == [
        "row 16",
        "row 20",
        "row 24",
        "the file's name says no scale, as yolov8s.yaml does; n, the first, is taken",
    ]
    assert diagnose(load_model_yaml(TWO), "l").notes == []
    assert fix(read_text(TWO)) == read_text(TWO)


@pytest.mark.parametrize("word", ["dense", "separable", "none"])
def test_known_words_for_offsets_are_right(word):
    assert diagnose({**load_model_yaml(TWO), "offsets": word}).ok


@pytest.mark.parametrize("key", ["Offsets", "offset", "OFFSETS "])
def test_a_key_that_nobody_would_read_is_told(key):
    problems = diagnose({**load_model_yaml(TWO), key: "none"}).problems
    assert [p.sentence for p in problems] == [f"offsets: expected the key to be written offsets, got {key!r}"]


def test_an_unknown_word_for_offsets_is_told_and_not_mended():
    text = read_text(TWO) + "\noffsets: seperable\n"
    sentence = "offsets: expected one of dense, separable, none, features, got 'seperable'"
    assert found(text) == {None: (sentence, None)}
    with pytest.raises(DlkaError, match=f"^{sentence}, and no mended row can be offered"):
        fix(text)


def test_mending_changes_only_the_six_rows_and_keeps_every_comment():
    before, after = read_text(ONE).splitlines(), fix(read_text(ONE)).splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed == [(a, a.replace(f"[{c}]", f"[{c}, 3, 2]")) for (a, _), c in zip(changed, DOWNSAMPLING.values())]
    assert len(changed) == 6


@pytest.mark.slow
@pytest.mark.parametrize("path", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("scale", ["n", "m"])
def test_channels_strides_and_repeats_are_those_that_ultralytics_builds(path, scale):
    from ultralytics.nn.tasks import DetectionModel

    model = parse_model_yaml(fix(read_text(path)))
    report = diagnose(model, scale)
    built = DetectionModel(stock(model, scale), verbose=False).eval()
    maps = {}
    for layer in built.model[:-1]:
        layer.register_forward_hook(lambda layer, _, out: maps.update({layer.i: out.shape}))
    with torch.no_grad():
        built(torch.zeros(1, 3, 64, 64))
    for index, found in enumerate(report.maps[:-1]):
        assert (found.channels_out, found.stride) == (maps[index][1], 64 / maps[index][2]), index
        if report.rows[index][2].startswith("C2f"):
            assert report.repeats[index] == len(built.model[index].m)
    assert report.maps[-1].channels_in == sum(maps[i][1] for i in built.model[-1].f)


def test_the_mended_first_listing_builds_and_runs_with_its_dlka_blocks(tmp_path):
    file = tmp_path / "mended.yaml"
    file.write_text(fix(read_text(ONE)))
    model = DLKAModel(file, verbose=False).eval()
    assert model.stride.tolist() == [8, 16, 32]
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 84, 84)


@pytest.mark.slow
@given(st.sets(st.sampled_from([1, 3, 5, 7, 17, 21])))
@settings(deadline=None, max_examples=8)
def test_any_set_of_rows_that_lost_their_stride_is_found_and_only_those(lost):
    model = load_model_yaml(TWO)
    rows = model["backbone"] + model["head"]
    right = deepcopy(rows)
    for index in lost:
        rows[index][3] = rows[index][3][:1]
    report = diagnose(model)
    if report.ok:  # the maps fit all the same, only the strides of the head are not the usual ones
        noted = [note for note in report.notes if "has kernel 1 and stride 1; with stride 2" in note]
        assert [int(note.split(":")[0].removeprefix("row ")) for note in noted] == sorted(lost)
        assert lost <= {1, 3}
    else:
        assert {p.row: p.fixed for p in report.problems} == {index: right[index] for index in lost}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "row", "says", "mended"),
    [
        ([("[-1, 3, C2f, [512]]  # 12", "[-1, 3, C2f_DKLA, [512]]")], 12, "not registered", [-1, 3, "C2f_DLKA", [512]]),
        ([("Detect, [nc]", "Detct, [nc]")], 25, "not registered", [[16, 20, 24], 1, "Detect", ["nc"]]),
        ([("[-1, 3, C2f, [512]]  # 12", "[-1, 3, Zebra9000, [512]]")], 12, "not registered", None),
        ([("[[-1, 4], 1, Concat", "[[-1, 6], 1, Concat")], 14, "strides [8, 16]", None),
        ([("[[-1, 9], 1, Concat", "[[-1, 99], 1, Concat")], 22, "does not come before", None),
        ([("[-1, 1, SPPF", "[9, 1, SPPF")], 9, "does not come before", None),
        ([("[-1, 1, SPPF", "[[-1, 6], 1, SPPF")], 9, "reads one row", None),
        ([("[[16, 20, 24]", "[[16, 20, 31]")], 25, "does not come before", None),
        ([("Attention, []]  # 20", "Attention, [512]]  # 20")], 20, "gets 128 channels", [-1, 3, None, []]),
        ([("Detect, [nc]", "Detect, [7]")], 25, "other arguments", [[16, 20, 24], 1, "Detect", ["nc"]]),
        ([("-1, 9], 1, Concat, [1]", "-1, 9], 1, Concat, [2]")], 22, "arguments are [1]", None),
        ([("[-1, 1, SPPF, [1024, 5]]", "[-1, 9, SPPF, [256, 5]]")], 9, "be repeated 9 times", None),
    ],
)  # fmt: skip
def test_one_mistake_is_reported_once_where_it_is(changes, row, says, mended):
    text = edited(TWO, *changes)
    problems = found(text)
    assert list(problems) == [row]
    sentence, offered = problems[row]
    assert says in sentence
    if mended is None:
        assert offered is None
        with pytest.raises(DlkaError, match=f"row {row}"):
            fix(text)
    else:
        assert all(want in (None, got) for want, got in zip(mended, offered))
        assert diagnose(parse_model_yaml(fix(text))).ok


def test_mistakes_do_not_hide_each_other():
    """Behind a row of which nothing is known, what is wrong anyhow is still found, and nothing that may be right."""
    text = edited(
        TWO,
        ("[-1, 1, Conv, [64, 3, 2]]", "[-1, 1, Conv, [64, 3, 0]]"),
        ("[-1, 1, SPPF, [1024, 5]]", "[-1, 1, SPPF, [-1024, 5]]"),
        ("[-1, 3, C2f, [512]]  # 12", "[-1, 3, Zebra9000, [512]]"),
        ("[[-1, 9], 1, Concat, [1]]", "[[-1, 99], 1, Concat, [1]]"),
        ("Detect, [nc]", "Detct, [nc]"),
    )
    assert list(found(text)) == [0, 9, 12, 22, 25]


def test_rows_that_keep_the_stride_do_not_hide_one_that_joins_others():
    text = edited(TWO, ("[-1, 1, SPPF, [1024, 5]]", "[-1, 1, SPPF, [-1024, 5]]"), ("[[-1, 4], 1", "[[-1, 6], 1"))
    assert list(found(text)) == [9, 14]


def test_where_several_rows_could_be_the_one_without_stride_none_is_guessed():
    text = edited(TWO, ("  - [-1, 1, Conv, [256, 3, 2]]  # 3-P3/8\n", "  - [-1, 1, Conv, [256]]\n"))
    text = text.replace("  - [-1, 3, C2f, [128, True]]\n", "  - [-1, 1, Conv, [128]]\n")
    report = diagnose(parse_model_yaml(text))
    assert report.ok  # it builds, with maps twice as large
    assert not any("stride 1" in note for note in report.notes)
    assert fix(text) == text


def test_right_channels_given_to_an_attention_row_are_accepted():
    text = edited(TWO, ("Attention, []]  # 20", "Attention, [128]]  # 20"))
    assert diagnose(parse_model_yaml(text), "n").ok
    assert not diagnose(parse_model_yaml(text), "s").ok


def test_a_module_of_ultralytics_is_followed_by_the_dry_build():
    report = diagnose(parse_model_yaml(edited(TWO, ("C2f, [512, True]", "C3k2, [512, True]"))))
    assert report.ok
    assert (report.maps[6].channels_out, report.maps[6].stride, report.maps[7].channels_in) == (128, 16, 128)


def test_a_model_without_detect_row_is_reported_for_the_whole():
    text = "\n".join(line for line in read_text(TWO).splitlines() if "Detect, [nc]" not in line)
    assert list(found(text)) == [None]


def test_mending_a_yaml_in_block_style_keeps_the_comments_between_rows():
    text = edited(
        ONE, ("  - [-1, 1, Conv, [128]]  # 1-P2/4\n", "  - - -1\n    - 1\n    - Conv\n    - - 128\n  # next\n")
    )
    assert "    - [128, 3, 2]\n  # next\n" in fix(text)


def test_windows_line_ends_survive_mending(tmp_path):
    file = tmp_path / "crlf.yaml"
    file.write_bytes(read_text(ONE).replace("\n", "\r\n").encode())
    assert fix(read_text(file)) == fix(read_text(ONE)).replace("\n", "\r\n")


def test_a_dlka_head_is_checked_as_a_detect_row():
    assert diagnose(parse_model_yaml(edited(TWO, ("Detect, [nc]", "DetectDLKA, [nc]")))).ok


HEAD = "nc: 80\nhead:\n  - [[0], 1, Detect, [nc]]\nbackbone:\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("activation: __import__('os').system('x')\n" + HEAD + "  - [-1, 1, Conv, [8]]\n", "Python code"),
        (HEAD + "  - &a [-1, 1, Conv, [8]]\n  - *a\n", "anchor or alias"),
        (HEAD + "  - !!python/object/apply:os.system ['x']\n", "tag"),
        (HEAD + "  - [-1, 1000, Conv, [8]]\n", "repeats must be"),
        (HEAD + "  - [-1, 0, Conv, [8]]\n", "repeats must be"),
        (HEAD + "  - [-1, True, Conv, [8]]\n", "repeats must be"),
        (HEAD + "  - [-1, 1, Conv, [65537]]\n", "args must be"),
        (HEAD + "  - [-1, 1, Conv, [.nan]]\n", "args must be"),
        (HEAD + "  - [-1, 1, Conv, ['__import__(1)']]\n", "args must be"),
        (HEAD + "  - [-1, 1, 'os.system(1)', [8]]\n", "name of a module"),
        (HEAD + "  - [-1, 1, Conv]\n", "must be [from, repeats, module, args]"),
        (HEAD + "  - [x, 1, Conv, [8]]\n", "'from' must be"),
        (HEAD + "  - [-1, 1, Conv, [8]]\n" * 200, "at most 200"),
        (HEAD + "  - " + "[" * 5000 + "\n", "nesting"),
            (HEAD + "  - " + "[" * 20 + "]" * 20 + "\n", "nested too deep"),
        (HEAD + "  - [-1, 1, Conv, [" + "9" * 5000 + "]]\n", "over 1000 characters"),
        (HEAD + "  []\nbackbone: []\n", "given twice"),
        (HEAD + "  []\n", "backbone must be a list"),
        (HEAD.replace("80", "20000") + "  - [-1, 1, Conv, [8]]\n", "nc must be"),
        (HEAD.replace("nc: 80", "nc: 80\nscales: {n: [99, 1, 1]}") + "  - [-1, 1, Conv, [8]]\n", "scale 'n'"),
        ("[1, 2", "not valid yaml at line"),
        ("- 1\n- 2\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("a: 2020-99-99\n", "not valid yaml"),
    ],
)  # fmt: skip
def test_a_yaml_that_is_code_or_a_bomb_or_no_model_is_refused_in_one_sentence(text, says):
    with pytest.raises(DlkaError) as refusal:
        parse_model_yaml(text, "model.yaml")
    message = str(refusal.value)
    assert says in message
    assert message.startswith("model.yaml")
    assert "\n" not in message
    assert len(message) < 400


def test_files_that_are_missing_too_large_or_no_text_are_refused(tmp_path):
    with pytest.raises(DlkaError, match="cannot be read"):
        load_model_yaml(tmp_path / "none.yaml")
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (256 * 1024 + 1))
    with pytest.raises(DlkaError, match="larger than 256 KB"):
        load_model_yaml(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DlkaError, match="UTF-8"):
        load_model_yaml(file)


def test_scales_come_from_the_name_by_ultralytics_rule_and_unknown_ones_are_refused():
    from ultralytics.nn.tasks import guess_model_scale

    for name in ("yolov8s-dlka.yaml", "yolov8-dlka.yaml", "a/yolo11x.yaml", "mine.yaml", "yolov8m-p2.yaml"):
        assert (scale_in_name(name) or "") == guess_model_scale(name)
    with pytest.raises(DlkaError, match="not one of this yaml's scales: n, s, m, l, x"):
        diagnose(load_model_yaml(TWO), "q")


# The verdict is the builder's: of the yamls that Ultralytics ships, and of some changed at random.
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
        assert built.stride.tolist() == [report.maps[i].stride for i in built.model[-1].f]
        return True
    with pytest.raises(DlkaError) as refusal:
        DLKAModel(model, verbose=False)
    assert report.problems[0].sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    return False


def narrow(model: dict) -> dict:
    """The same rows on few channels, which build faster."""
    return {**model, "scales": {"n": [0.33, 0.1, 256]}, "scale": "n"}


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTION)
def test_what_ultralytics_ships_builds(name):
    assert check_that_they_agree(load_model_yaml(SHIPPED / f"{name}.yaml"))


@pytest.mark.slow
def test_all_that_it_ships_for_other_tasks_is_refused_by_its_head_or_layers():
    for path in SHIPPED.rglob("*.yaml"):
        model = load_model_yaml(path)
        if model["head"][-1][2] not in ("Detect", "v10Detect"):
            problem = diagnose(model).problems[0].sentence
            assert "only plain detection is built here" in problem or "TorchVision downloads" in problem, path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_they_agree_on_rows_changed_at_random(seed):
    draw = random.Random(seed)
    models = [narrow(model_config("neck-head")), narrow(model_config("residual"))]
    models += [narrow(load_model_yaml(SHIPPED / f"{name}.yaml")) for name in ("11/yolo11", "v9/yolov9t", "v5/yolov5")]
    seen = []
    for _ in range(5):
        model = _changed(draw, deepcopy(draw.choice(models)))
        if all(are_arguments(row[3]) for row in model["backbone"] + model["head"]):
            seen.append(check_that_they_agree(model))
        else:
            with pytest.raises(DlkaError, match=r"^row \d+"):
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
