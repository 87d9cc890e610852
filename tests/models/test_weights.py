"""Weights files: what rounding may change, that nothing else is read, and that a broken write leaves nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from dlka import tensor_file
from dlka.errors import DlkaError
from dlka.models import weights
from dlka.models.build import build_model
from dlka.models.placements import PLACEMENTS
from dlka.models.weights import FORMAT, Card, card_of, load_card, load_model, metadata_of, save_weights

CARD = Card(
    placement="neck",
    scale="n",
    offsets="dense",
    names={0: "person", 1: "bus"},
    input_size=416,
    data="drawn pictures",
    recipe='{"epochs": 2}',
    licence="AGPL-3.0",
    seed=3,
    versions={"torch": "2.9"},
    metrics={"AP": 0.41, "by size": {"S": 0.1, "M": None}, "counts": [1, 2]},
)

USES = {
    "verdict": "small",
    "why": "AP changes by -1.0.",
    "data": "drawn val",
    "pictures": 30,
    "size": 416,
    "offsets": {"off": {"AP": 0.4, "AP_minus_own_95": [-0.02, -0.01]}},
    "stages": [{"stage": "b.conv0", "size_rho": None, "size_rho_95": [0.1, 0.2]}],
}


def random_model(placement: str = "neck", classes: int = 2, offsets: str = "dense") -> nn.Module:
    """A model whose every tensor has values, batch statistics included."""
    torch.manual_seed(0)
    model = build_model(placement, "n", classes, offsets)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(1e-9, 2)
        elif tensor.is_floating_point() and "dfl" not in name:
            tensor.normal_(0, 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return random_model()


@pytest.fixture(scope="module")
def good(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "good.safetensors"
    save_weights(path, model.state_dict(), CARD)
    return path


def rewritten(good: Path, path: Path, change=None, metadata=None, **card_changes) -> Path:
    """The good file with changed tensors, metadata, or fields of its card."""
    tensors = load_file(good)
    if change is not None:
        change(tensors)
    with safe_open(good, framework="pt") as file:
        stored = file.metadata()
    if card_changes:
        stored["card"] = json.dumps({**json.loads(stored["card"]), **card_changes})
    save_file(tensors, path, metadata=stored if metadata is None else metadata)
    return path


def tensors_of(data: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file without its metadata, and what follows it."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    del header["__metadata__"]
    return header, data[end:]


def refused(path: Path, says: str) -> None:
    with pytest.raises(DlkaError, match=says) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(path.name)
    assert "\n" not in message
    assert len(message) < 700


class TestRoundTrip:
    @pytest.mark.slow
    @pytest.mark.parametrize("offsets", ["dense", "separable", "none"])
    @pytest.mark.parametrize("placement", PLACEMENTS)
    def test_every_tensor_is_within_its_rounding(self, placement, offsets, tmp_path):
        path = tmp_path / "model.safetensors"
        source = random_model(placement, 3, offsets)
        card = dataclasses.replace(CARD, placement=placement, offsets=offsets, names={0: "a", 1: "b", 2: "c"})
        save_weights(path, source.state_dict(), card)
        loaded, back = load_model(path)
        assert back == card
        assert load_card(path) == card
        assert loaded.names == card.names
        assert not loaded.training
        assert not any(p.requires_grad for p in loaded.parameters())
        for name, got in loaded.state_dict().items():
            wanted = source.state_dict()[name]
            if not wanted.is_floating_point():
                continue
            assert got.dtype == torch.float32
            if wanted.dim() == 4 and wanted.shape[2] > 1:
                step = wanted.abs().amax((1, 2, 3), keepdim=True) / 127
                assert ((got - wanted).abs() <= step * 0.5001).all(), name
            elif wanted.dim() == 1:
                assert torch.equal(got, wanted), name
            else:
                assert torch.equal(got, wanted.half().float()), name

    def test_loading_what_was_loaded_changes_nothing_more(self, good, tmp_path):
        loaded, card = load_model(good)
        save_weights(tmp_path / "again.safetensors", loaded.state_dict(), card)
        again, _ = load_model(tmp_path / "again.safetensors")
        for name, value in loaded.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-6, atol=0, msg=name)

    def test_the_loaded_model_looks_at_pictures_and_pictures_only(self, model, good):
        loaded, _ = load_model(good)
        x = torch.rand(1, 3, 64, 96)
        with torch.no_grad():
            out, wanted = loaded(x)[0], model(x)[0]
        assert out.shape == wanted.shape == (1, 4 + 2, 8 * 12 + 4 * 6 + 2 * 3)
        assert out.isfinite().all()

    def test_what_is_stored_how(self, good):
        for name, tensor in load_file(good).items():
            wide = tensor.dim() == 4 and tensor.shape[2] > 1
            expected = torch.int8 if wide else torch.float32 if tensor.dim() == 1 else torch.float16
            assert tensor.dtype == expected, name

    @pytest.mark.parametrize("value", [1e-30, 1e-9, 3e-8, 7e4, 1e6, 1e30])
    @pytest.mark.parametrize("end", ["bn.running_var", "bn.running_mean", "bn.weight", "bn.bias"])
    def test_vectors_beyond_half_precision_survive(self, end, value, model, tmp_path):
        name = f"model.0.{end}"
        state = model.state_dict() | {name: torch.full((16,), value)}
        save_weights(tmp_path / "w.safetensors", state, CARD)
        loaded, _ = load_model(tmp_path / "w.safetensors")
        assert torch.equal(loaded.state_dict()[name], state[name])

    @settings(deadline=None, max_examples=40)
    @given(
        seed=st.integers(0, 999),
        exponents=st.lists(st.integers(-14, 30), min_size=3, max_size=3),
        zero=st.booleans(),
    )
    def test_int8_error_is_half_a_step_of_each_channel(self, tmp_path_factory, seed, exponents, zero):
        value = torch.randn(3, 2, 5, 3, generator=torch.Generator().manual_seed(seed))
        value *= torch.tensor([10.0**e for e in exponents]).view(3, 1, 1, 1)
        value[0] *= not zero
        file = tmp_path_factory.getbasetemp() / "int8.safetensors"
        save_weights(file, {"w": value}, CARD)
        stored = load_file(file)
        assert stored["w"].dtype == torch.int8
        back = stored["w"].float() * stored["w.scale"].view(3, 1, 1, 1)
        largest = value.abs().amax((1, 2, 3), keepdim=True)
        assert ((back - value).abs() <= (largest / 127 * 0.5001).clamp_min(0.5e-12 / 127)).all()
        assert (stored["w.scale"] > 0).all()
        if zero:
            assert not back[0].any()


class TestWriting:
    def test_replaces_a_file_whole_and_leaves_nothing_else(self, model, tmp_path):
        path = tmp_path / "neck.v2.safetensors"
        for seed in (1, 2):
            save_weights(path, model.state_dict(), dataclasses.replace(CARD, seed=seed))
        assert load_card(path).seed == 2
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert path.stat().st_mode & 0o444 == 0o444  # readable by others, like other files

    def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(self, model, tmp_path, monkeypatch):
        path = tmp_path / "w.safetensors"
        save_weights(path, model.state_dict(), CARD)
        before = path.read_bytes()

        def half(tensors, file, metadata):
            Path(file).write_bytes(before[:1000])
            raise OSError("no space left on device")

        monkeypatch.setattr(tensor_file, "save_file", half)
        with pytest.raises(OSError, match="no space"):
            save_weights(path, model.state_dict(), CARD)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["model.0.conv.weight", "model.0.bn.running_var", "model.2.cv1.conv.weight"])
    def test_values_that_could_not_be_loaded_are_not_written(self, name, bad, model, tmp_path):
        value = model.state_dict()[name].clone()
        value.view(-1)[1] = bad
        with pytest.raises(ValueError, match=f"^{name}: expected finite values"):
            save_weights(tmp_path / "w.safetensors", model.state_dict() | {name: value}, CARD)
        assert not list(tmp_path.iterdir())

    def test_a_1x1_weight_too_large_for_half_precision_is_said_and_not_written(self, model, tmp_path):
        name = "model.2.cv1.conv.weight"
        large = model.state_dict()[name] + 1e5
        with pytest.raises(ValueError, match=f"^{name}: .*float16 can hold, got up to 100000"):
            save_weights(tmp_path / "w.safetensors", model.state_dict() | {name: large}, CARD)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "change",
        [
            {"names": {"0": "person", "1": "bus"}},
            {"names": {False: "person", True: "bus"}},
            {"names": {0.0: "person", 1.0: "bus"}},
            {"names": {np.int64(0): "person", np.int64(1): "bus"}},
            {"names": {1: "person", 2: "bus"}},
            {"names": {}},
            {"names": {0: "x" * 101}},
            {"names": {0: 7}},
            {"metrics": {"AP": float("nan")}},
            {"metrics": {"AP": torch.tensor(0.4)}},
            {"metrics": {"AP": np.float32(0.4)}},
            {"metrics": {0: 0.4}},
            {"metrics": {"sizes": (1, 2)}},
            {"versions": {"torch": 2}},
            {"seed": 1.5},
            {"seed": None},
            {"data": Path("data")},
            {"placement": "tail"},
            {"input_size": True},
        ],
    )
    def test_cards_that_would_not_come_back_are_not_written(self, change, model, tmp_path):
        with pytest.raises(DlkaError):
            save_weights(tmp_path / "w.safetensors", model.state_dict(), dataclasses.replace(CARD, **change))
        assert not list(tmp_path.iterdir())


class TestDamagedTensors:
    def test_missing(self, good, tmp_path):
        path = rewritten(good, tmp_path / "w.safetensors", lambda t: t.pop("model.9.cv1.bn.running_mean"))
        refused(path, r"1 are missing \(model.9.cv1.bn.running_mean\) and 0 do not belong")

    def test_extra(self, good, tmp_path):
        path = rewritten(good, tmp_path / "w.safetensors", lambda t: t.update({"x" * 500: torch.zeros(1)}))
        refused(path, r"0 are missing \(none\) and 1 do not belong")

    def test_a_scale_without_its_tensor_or_where_none_belongs(self, good, tmp_path):
        for name in ("model.0.bn.weight.scale", "model.0.bn.num_batches_tracked.scale", ".scale"):
            path = rewritten(good, tmp_path / "w.safetensors", lambda t, n=name: t.update({n: torch.ones(16)}))
            refused(path, "1 do not belong")
        refused(rewritten(good, path, lambda t: t.pop("model.0.conv.weight")), "1 are missing")

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("model.0.conv.weight", (16, 3, 3, 1)),
            ("model.0.conv.weight", (16, 27)),
            ("model.0.conv.weight", (3, 16, 3, 3)),
            ("model.0.bn.weight", (1,)),
            ("model.0.bn.weight", ()),
            ("model.0.conv.weight.scale", (1,)),
            ("model.0.conv.weight.scale", (16, 1)),
            ("model.22.cv3.0.2.bias", (3,)),
        ],
    )
    def test_wrong_shape(self, name, shape, good, tmp_path):
        def change(tensors):
            tensors[name] = torch.ones(shape, dtype=tensors[name].dtype)

        refused(rewritten(good, tmp_path / "w.safetensors", change), f"{name} should be \\[")

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            ("model.0.conv.weight", torch.float32),
            ("model.0.conv.weight", torch.uint8),
            ("model.0.conv.weight", torch.int32),
            ("model.0.conv.weight.scale", torch.float64),
            ("model.0.conv.weight.scale", torch.float16),
            ("model.0.bn.weight", torch.int8),
            ("model.0.bn.weight", torch.bool),
            ("model.0.bn.weight", torch.float64),
            ("model.0.bn.weight", torch.bfloat16),
            ("model.0.bn.weight", torch.float8_e4m3fn),
            ("model.2.cv1.conv.weight", torch.complex64),
        ],
    )
    def test_wrong_dtype(self, name, dtype, good, tmp_path):
        path = rewritten(good, tmp_path / "w.safetensors", lambda t: t.update({name: t[name].float().to(dtype)}))
        refused(path, f"{name} should be [A-Z0-9]+( or F32)?, is ")

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("name", ["model.2.cv1.conv.weight", "model.0.bn.running_var", "model.0.conv.weight.scale"])
    def test_values_that_are_not_finite(self, name, bad, good, tmp_path):
        def change(tensors):
            tensors[name].view(-1)[-1] = bad

        refused(rewritten(good, tmp_path / "w.safetensors", change), f"{name} has values that are not finite")

    @pytest.mark.parametrize(("bad", "says"), [(0.0, "positive"), (-1.0, "positive"), (3e38, "not finite")])
    def test_scales_that_make_no_weights(self, bad, says, good, tmp_path):
        def change(tensors):
            tensors["model.0.conv.weight.scale"][0] = bad

        refused(rewritten(good, tmp_path / "w.safetensors", change), says)

    def test_the_smallest_scale_is_fine(self, good, tmp_path):
        def change(tensors):
            tensors["model.0.conv.weight.scale"][0] = 1e-45

        loaded, _ = load_model(rewritten(good, tmp_path / "w.safetensors", change))
        assert loaded.model[0].conv.weight[0].abs().max() < 1e-42

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
    def test_unrounded_weights_are_taken_too(self, dtype, model, good, tmp_path):
        tensors = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
        save_file(tensors, tmp_path / "w.safetensors", metadata=metadata_of(CARD))
        loaded, _ = load_model(tmp_path / "w.safetensors")
        assert all(torch.equal(loaded.state_dict()[k], v.float()) for k, v in tensors.items())


class TestOtherFiles:
    @pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1000, -1])
    def test_truncated(self, keep, good, tmp_path):
        path = tmp_path / "w.safetensors"
        path.write_bytes(good.read_bytes()[:keep])
        refused(path, "is not a whole safetensors file")

    def test_longer_than_it_says(self, good, tmp_path):
        path = tmp_path / "w.safetensors"
        path.write_bytes(good.read_bytes() + b"\0")
        refused(path, "is not a whole safetensors file")

    @settings(deadline=None, max_examples=60)
    @given(data=st.binary(max_size=200))
    def test_noise(self, data, tmp_path_factory):
        path = tmp_path_factory.mktemp("noise") / "noise.safetensors"
        path.write_bytes(data)
        with pytest.raises(DlkaError):
            load_card(path)

    def test_text(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("weights: none, sorry\n" * 50)
        refused(path, "is not a whole safetensors file")

    def test_a_header_that_claims_much_memory(self, tmp_path):
        path = tmp_path / "w.safetensors"
        header = b'{"a":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4000000000000000000]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        refused(path, "is not a whole safetensors file")

    @pytest.mark.parametrize("name", ["yolov8n.pt", "best.PT", "old.pth"])
    def test_pickles_are_refused_unopened_with_the_command_that_converts_them(self, name, tmp_path):
        path = tmp_path / name
        command = f"convert it first: python -m dlka convert {name} {path.stem}.safetensors$"
        refused(path, command)
        path.write_bytes(b"anything")
        refused(path, command)

    def test_nothing_there(self, tmp_path):
        refused(tmp_path / "none.safetensors", "there is no such file")

    def test_a_folder(self, tmp_path):
        refused(tmp_path, "is no file")

    def test_too_large_a_file_is_not_opened(self, good, tmp_path, monkeypatch):
        path = tmp_path / "w.safetensors"
        path.write_bytes(b"")
        os.truncate(path, tensor_file.MAX_BYTES + 1)  # sparse: no bytes on the disk
        monkeypatch.setattr(tensor_file, "safe_open", lambda *a, **k: pytest.fail("opened"))
        refused(path, "expected at most 400 MB, got 400 MB")


class TestAnotherCard:
    @pytest.mark.parametrize("exact", [False, True])
    def test_every_byte_of_the_tensors_stays(self, exact, model, tmp_path):
        path = tmp_path / "w.safetensors"
        save_weights(path, model.state_dict(), CARD, exact=exact)
        before = path.read_bytes()
        weights.with_card(path, path, dataclasses.replace(CARD, uses=USES))
        after = path.read_bytes()
        assert after != before
        assert tensors_of(after) == tensors_of(before)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        weights.with_card(path, path, CARD)
        assert load_card(path) == CARD
        assert len(path.read_bytes()) == len(before)  # the two texts of the metadata come in any order

    def test_the_same_tensors(self, good, model, tmp_path):
        other, exact, more = (tmp_path / f"{name}.safetensors" for name in ("other", "exact", "more"))
        weights.with_card(good, other, dataclasses.replace(CARD, uses=USES))
        assert weights.same_tensors(good, other)
        save_weights(exact, model.state_dict(), CARD, exact=True)
        assert not weights.same_tensors(good, exact)
        rewritten(good, more, lambda tensors: tensors.update(more=torch.zeros(1)))
        assert not weights.same_tensors(good, more)
        rewritten(good, more, lambda tensors: tensors["model.0.conv.weight"].view(-1)[0].add_(1))
        assert not weights.same_tensors(good, more)

    def test_a_card_that_could_not_be_read_back_leaves_the_file(self, good, tmp_path):
        path = tmp_path / "w.safetensors"
        path.write_bytes(good.read_bytes())
        with pytest.raises(DlkaError, match=r"card\.uses: expected a verdict"):
            weights.with_card(path, path, dataclasses.replace(CARD, uses={**USES, "verdict": "much"}))
        assert path.read_bytes() == good.read_bytes()


class TestCards:
    @pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"card": "{}"}, {"format": "dlka-2", "card": "{}"}])
    def test_files_of_others(self, metadata, good, tmp_path):
        refused(rewritten(good, tmp_path / "w.safetensors", metadata=metadata), "format dlka-1.*without its card")

    @pytest.mark.parametrize(
        "text",
        ["", "{", "null", "[]", "3", "{}", '{"placement": "neck"}', "[" * 100_000, '{"a":' * 20_000, "9" * 5000],
    )
    def test_cards_that_are_none(self, text, good, tmp_path):
        path = rewritten(good, tmp_path / "w.safetensors", metadata={"format": FORMAT, "card": text})
        refused(path, "card: Invalid JSON|card: Input should be an object|card[.][a-z]+: Field required")

    def test_a_card_that_is_too_long_is_not_read(self, good, tmp_path):
        text = json.dumps({"data": "x" * (weights.MAX_JSON + 1)})
        path = rewritten(good, tmp_path / "w.safetensors", metadata={"format": FORMAT, "card": text})
        refused(path, "expected a card of at most 2097152 characters")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"placement": "tail"}, "card.placement: expected one of control, neck, .*, got 'tail'"),
            ({"placement": ["neck"]}, "card.placement: Input should be a valid string, got"),
            ({"placement": {"neck": 1}}, "card.placement: Input should be a valid string"),
            ({"scale": "xx"}, "card.scale: "),
            ({"scale": "nsm"}, "card.scale: "),
            ({"scale": None}, "card.scale: "),
            ({"offsets": True}, "card.offsets: "),
            ({"names": {}}, "card.names: .* at least 1"),
            ({"names": ["a", "b"]}, "names of classes numbered from 0"),
            ({"names": 10**9}, "names of classes numbered from 0"),
            ({"names": {str(i): "x" for i in range(10_001)}}, "card.names: .* at most 10000"),
            ({"names": {"1000000000": "x"}}, "names of classes numbered from 0"),
            ({"names": {"1": "x"}}, "names of classes numbered from 0"),
            ({"names": {"0": "x", "00": "y"}}, "names of classes numbered from 0"),
            ({"names": {" 0": "x"}}, "names of classes numbered from 0"),
            ({"names": {"\u0660": "x"}}, "names of classes numbered from 0"),
            ({"names": {"-0": "x"}}, "names of classes numbered from 0"),
            ({"names": {"9" * 5000: "x"}}, "names of classes numbered from 0"),
            ({"names": {"0": "x" * 101}}, "card.names.0: .* at most 100 characters"),
            ({"names": {"0": None}}, "card.names.0: Input should be a valid string"),
            ({"names": {"0": {"a": {}}}}, "card.names.0: Input should be a valid string"),
            ({"input_size": 0}, "card.input_size: Input should be greater than or equal to 32, got 0"),
            ({"input_size": 10**12}, "card.input_size: Input should be less than or equal to 8192"),
            ({"input_size": "640"}, "card.input_size: Input should be a valid integer"),
            ({"input_size": 640.0}, "card.input_size: Input should be a valid integer"),
            ({"seed": "0"}, "card.seed: Input should be a valid integer"),
            ({"data": "x" * 10_001}, "card.data: String should have at most 10000 characters"),
            ({"recipe": {"epochs": 3}}, "card.recipe: Input should be a valid string"),
            ({"licence": None}, "card.licence: Input should be a valid string, got None"),
            ({"versions": {"torch": [2, 9]}}, "card.versions.torch: Input should be a valid string"),
            ({"versions": {"x" * 101: "2"}}, "card.versions.x+: String should have at most 100"),
            ({"versions": []}, "card.versions: Input should be an object"),
            ({"metrics": [0.4]}, "card.metrics: Input should be an object"),
            ({"metrics": {"AP": float("nan")}}, "card.metrics: expected finite numbers and short texts by name"),
            ({"metrics": {"AP": "x" * 10_001}}, "card.metrics: expected finite numbers and short texts by name"),
            (
                {"metrics": {"a": {"b": {"c": {"d": {}}}}}},
                "card.metrics: expected finite numbers and short texts by name",
            ),
            ({"class": "os.system"}, "card.class: Unexpected keyword argument"),
            ({"x" * 10_000: 1}, "card.x+: Unexpected keyword argument"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_cards_that_describe_no_model(self, change, says, good, tmp_path):
        path = rewritten(good, tmp_path / "w.safetensors", **change)
        refused(path, says)
        with pytest.raises(DlkaError, match=says):
            load_card(path)

    @pytest.mark.slow
    def test_a_card_of_another_model_does_not_fit_the_tensors(self, good, tmp_path):
        path = tmp_path / "w.safetensors"
        refused(rewritten(good, path, placement="residual"), "expected exactly the tensors of residual n")
        refused(rewritten(good, path, offsets="none"), r"0 are missing \(none\) and 18 do not belong \(.*offset_net")
        refused(
            rewritten(good, path, offsets="separable"), r"18 are missing \(.*offset_net.depthwise.weight, .*18 do not"
        )
        refused(rewritten(good, path, scale="s"), r"model.0.conv.weight should be \[32, 3, 3, 3\], is \[16, 3, 3, 3\]")
        refused(rewritten(good, path, names={"0": "person"}), r"model.22.cv3.0.2.weight should be \[1, 64, 1, 1\]")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ([], "card.uses: Input should be an object"),
            ({"verdict": "healthy"}, "card.uses: expected a verdict, one of unused, small, in use"),
            ({"verdict": ["small"]}, "card.uses: expected a verdict"),
            ({"why": None}, "card.uses: expected why and data, texts"),
            ({"data": "x" * 10_001}, "card.uses: expected finite numbers and short texts"),
            ({"pictures": 3.0}, "card.uses: expected pictures and size, whole numbers"),
            ({"size": True}, "card.uses: expected pictures and size, whole numbers"),
            ({"stages": [float("inf")]}, "card.uses: expected finite numbers"),
            ({"stages": [[[[[1]]]]]}, "card.uses: expected finite numbers"),
            ({"stages": [0.5] * 60_000}, "card.uses: expected 262144 characters at most"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_figures_of_offsets_that_are_none(self, change, says, good, tmp_path):
        uses = {**USES, **change} if isinstance(change, dict) else change
        refused(rewritten(good, tmp_path / "w.safetensors", uses=uses), says)

    def test_figures_of_offsets_come_back(self, good, tmp_path):
        card = dataclasses.replace(CARD, uses=USES)
        weights.with_card(good, tmp_path / "w.safetensors", card)
        assert load_card(tmp_path / "w.safetensors") == load_model(tmp_path / "w.safetensors")[1] == card

    def test_a_file_without_such_figures_is_as_before_they_were_known(self, good):
        with safe_open(good, framework="pt") as file:
            assert "uses" not in json.loads(file.metadata()["card"])
        assert load_card(good).uses is None

    def test_metrics_may_be_left_out(self, good, tmp_path):
        with safe_open(good, framework="pt") as file:
            values = json.loads(file.metadata()["card"])
        del values["metrics"]
        assert card_of({"format": FORMAT, "card": json.dumps(values)}) == dataclasses.replace(CARD, metrics={})

    @pytest.mark.slow
    @settings(deadline=None, max_examples=100)
    @given(
        key=st.sampled_from([f.name for f in dataclasses.fields(Card)]),
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        ),
    )
    def test_any_json_in_any_field_gives_a_card_or_a_refusal(self, key, value):
        stored = metadata_of(CARD)
        stored["card"] = json.dumps({**json.loads(stored["card"]), key: value})
        try:
            card = card_of(stored)
        except DlkaError:
            return
        assert card_of(metadata_of(card)) == card  # whatever is read can be written again

    @settings(deadline=None, max_examples=50)
    @given(
        names=st.lists(st.text(max_size=100), min_size=1, max_size=30),
        seed=st.integers(-(2**70), 2**70),
        metrics=st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False), max_size=4),
    )
    def test_every_good_card_comes_back(self, names, seed, metrics):
        card = dataclasses.replace(CARD, names=dict(enumerate(names)), seed=seed, metrics=metrics)
        assert card_of(metadata_of(card)) == card
