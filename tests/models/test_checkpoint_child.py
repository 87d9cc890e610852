"""Checkpoints, good and hostile: tensors come out exactly, and nothing that a file names is ever run.

Files that only have to be refused go straight to `read`, which the child process runs; those that could do harm before
that, or are about the process, go through `read_checkpoint`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.utils import IterableSimpleNamespace

from dlka.errors import DlkaError
from dlka.models import checkpoint as reading
from dlka.models.build import build_model
from dlka.models.checkpoint import read_checkpoint
from dlka.models.checkpoint_child import MEMORY, STUBS, Stub, read

CASES = Path(__file__).parents[1] / "cases" / "checkpoints"
VALUES = {"0": struct.pack("<4f", 1, 2, 3, 4)}


@pytest.fixture(autouse=True)
def _a_fresh_process():
    """The child allows pickles only its stubs; this process may have trained, which allows the real layers, too."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options) -> Path:
    """A file as torch.save lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("m/data.pkl", pickled)
        file.writestr("m/version", b"3\n")
        file.writestr("m/byteorder", b"little")
        for key, data in (VALUES if storages is None else storages).items():
            file.writestr(f"m/data/{key}", data)
    return path


def string(value: str) -> bytes:
    """Opcode for a string."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Opcode for a number of up to 31 bits."""
    return b"J" + struct.pack("<i", value)


def name(path: str) -> bytes:
    """Opcode that pushes a class or function."""
    return b"c" + path.replace(":", "\n").encode() + b"\n"


def storage(kind: str = "FloatStorage", key: bytes | None = None, count: bytes = b"K\x04", after: bytes = b"") -> bytes:
    """A storage of the archive; after: what is done with the class that it names."""
    key = string("0") if key is None else key
    return b"(" + string("storage") + name(f"torch:{kind}") + after + key + string("cpu") + count + b"tQ"


FOUR, ONE = number(4) + b"\x85", number(1) + b"\x85"


def rebuild(of: bytes = b"", offset: bytes = b"K\x00", size: bytes = FOUR, stride: bytes = ONE) -> bytes:
    """A tensor as torch.save writes it: four float32 values, of which any part can be changed."""
    rest = b"\x89N"
    return name("torch._utils:_rebuild_tensor_v2") + b"(" + (of or storage()) + offset + size + stride + rest + b"tR"


def saved(value: bytes) -> bytes:
    """The pickle of {"w": value}."""
    return b"\x80\x02}" + string("w") + value + b"s."


def text_of(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 300
    return message


def refusal(path: Path) -> str:
    """What the person who has the file is told."""
    with pytest.raises(DlkaError) as caught:
        read_checkpoint(path)
    message = text_of(caught)
    assert message.startswith(path.name)
    assert message.endswith(".")
    return message


def reason(path: Path) -> str:
    """Why the reader refuses it, asked in this process."""
    with pytest.raises(DlkaError) as caught:
        read(path)
    return text_of(caught)


class TestGoodOnes:
    @pytest.mark.slow
    def test_the_stock_checkpoint_gives_the_tensors_that_torch_reads(self, shared):
        path = shared / "weights" / "yolov8n.pt"
        checkpoint = read_checkpoint(path)
        expected = torch.load(path, weights_only=False)["model"].state_dict()
        assert set(checkpoint.tensors) == set(expected)
        for key, value in expected.items():
            assert checkpoint.tensors[key].dtype == value.dtype
            assert torch.equal(checkpoint.tensors[key], value), key
        assert checkpoint.names is not None
        assert len(checkpoint.names) == 80
        assert checkpoint.names[0] == "person"
        assert checkpoint.yaml is not None
        assert checkpoint.yaml["head"][-1][2] == "Detect"
        assert checkpoint.yaml["scales"]["n"] == [0.33, 0.25, 1024]

    @pytest.mark.parametrize(("placement", "offsets"), [("neck", "separable"), ("head", "none"), ("residual", "dense")])
    def test_a_model_of_this_project_in_the_middle_of_its_training(self, tmp_path, placement, offsets):
        torch.manual_seed(0)
        ema = build_model(placement, "n", 2, offsets)
        ema.names, ema.args = {0: "cat", 1: "dög"}, IterableSimpleNamespace(imgsz=640)
        ema.register_buffer("kept", torch.arange(6).reshape(2, 3))
        ema.register_buffer("passing", torch.ones(2), persistent=False)
        run = {"imgsz": 640, "lr0": 0.01, "amp": True, "save_dir": Path("/home/a"), "freeze": None, "classes": [0, 2]}
        whole = {
            "epoch": 3,
            "best_fitness": np.float64(0.3),
            "model": torch.nn.Conv2d(1, 1, 1),
            "ema": ema.half(),
            "optimizer": {"state": {0: {"step": torch.ones(3)}}},
            "train_args": run,
        }
        torch.save(whole, tmp_path / "a.pt")
        tensors, found = read(tmp_path / "a.pt")
        state = ema.state_dict()
        assert set(tensors) == set(state)
        for key, value in state.items():
            assert torch.equal(tensors[key], value)
            assert tensors[key].dtype == value.dtype
        assert "passing" not in tensors
        assert found["names"] == ema.names
        assert found["yaml"] == ema.yaml
        assert found["train_args"] == {key: value for key, value in run.items() if key != "save_dir"}
        assert found["epoch"] == 3
        torch.save({**whole, "ema": None}, tmp_path / "b.pt")
        assert set(read(tmp_path / "b.pt")[0]) == {"weight", "bias"}

    @pytest.mark.slow
    def test_state_dicts_of_every_dtype_and_layout_come_out_equal(self, tmp_path):
        torch.manual_seed(0)
        base = torch.randn(4, 6, 2, 3)
        dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
        state = {f"as.{dtype}": (base * 10).to(dtype) for dtype in (*dtypes, torch.int8, torch.uint8, torch.bool)}
        state |= {
            "channels_last": base.to(memory_format=torch.channels_last),
            "view": base[1:3, ::2, :, 1],
            "transposed": base.transpose(0, 3),
            "tied": base,
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 4),
            "nan": torch.tensor([float("nan"), float("inf")]),
        }
        torch.save(state, tmp_path / "plain.pt")
        torch.save({"state_dict": OrderedDict(state), "epoch": 1}, tmp_path / "wrapped.pt")
        checkpoint = read_checkpoint(tmp_path / "plain.pt")
        assert (checkpoint.names, checkpoint.yaml, checkpoint.train_args) == (None, None, {})
        for tensors in (checkpoint.tensors, read(tmp_path / "wrapped.pt")[0]):
            assert set(tensors) == set(state)
            for key, value in state.items():
                got = tensors[key]
                assert (got.dtype, got.shape) == (value.dtype, value.shape)
                assert got.is_contiguous()
                assert torch.equal(got.nan_to_num(7), value.nan_to_num(7)), key

    def test_a_link_and_a_file_of_another_name_are_read(self, tmp_path):
        file = archive(tmp_path / "weights.safetensors", saved(rebuild()))
        (tmp_path / "link.pt").symlink_to(file)
        assert read(tmp_path / "link.pt")[0]["w"].tolist() == [1, 2, 3, 4]
        assert read(file)[0]["w"].tolist() == [1, 2, 3, 4]


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def payloads(marker: Path) -> dict[str, bytes]:
    write = f"open({str(marker)!r}, 'w')"
    command = f"touch '{marker}'"
    layer = name("ultralytics.nn.tasks:DetectionModel")
    hook = b"}" + string("__setstate__") + name("os:system") + b"s"
    return {
        "os.system": pickle.dumps(Call(os.system, command), 2),
        "eval": pickle.dumps(Call(eval, write), 4),
        "exec": pickle.dumps({"model": Call(exec, write)}, 2),
        "Popen": pickle.dumps(Call(subprocess.Popen, ["touch", str(marker)]), 2),
        "getattr chain": name("__builtin__:getattr")
        + (b"(" + name("__builtin__:__import__") + b"(" + string("os") + b"tR" + string("system") + b"tR(")
        + (string(command) + b"tR."),
        "dotted name": b"\x80\x04" + string("torch._utils") + string("_rebuild_tensor_v2.__globals__") + b"\x93.",
        "INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "BUILD of a dict": b"\x80\x02"
        + name("collections:OrderedDict")
        + b")R"
        + hook
        + b"b"
        + string(command)
        + b"b.",
        "BUILD of a stub": b"\x80\x02" + layer + b")\x81" + hook + b"b" + string(command) + b"b.",
        "BUILD of a class": b"\x80\x02" + layer + hook + b"b(" + string(command) + b"tR.",
        "a call of a layer": b"\x80\x02" + layer + b"(" + string(command) + b"tR.",
        "getattr of a stub's class": b"\x80\x02"
        + (name("__builtin__:getattr") + b"(" + layer + string("__init__") + b"tR(" + string(command) + b"tR."),
        "torch.load": name("torch:load") + b"(" + string(str(marker)) + b"tR.",
    }


class TestNothingIsRun:
    @pytest.mark.parametrize("kind", list(payloads(Path("x"))))
    def test_nothing_that_a_pickle_names_is_run(self, tmp_path, kind):
        marker = tmp_path / "ran"
        reason(archive(tmp_path / "evil.pt", payloads(marker)[kind]))
        assert not marker.exists()

    @pytest.mark.slow
    def test_a_call_that_hides_beside_good_weights(self, tmp_path):
        marker = tmp_path / "ran"
        beside = {"state_dict": {"w": torch.ones(2)}, "train_args": {"b": Call(os.system, f"touch '{marker}'")}}
        torch.save(beside, tmp_path / "beside.pt")
        assert "it names posix.system, no class of Ultralytics' YOLOv8 or of dlka" in refusal(tmp_path / "beside.pt")
        assert not marker.exists()

    def test_a_layer_of_the_same_name_from_somebodys_program_is_named(self, tmp_path):
        path = archive(tmp_path / "own.pt", b"\x80\x02}" + string("model") + name("__main__:C2f_DLKA") + b")\x81s.")
        assert "it names __main__.C2f_DLKA, no class of" in reason(path)

    def test_names_are_shown_without_what_a_terminal_would_obey(self, tmp_path):
        assert r"it names \x1b[31m\r" in reason(
            archive(tmp_path / "x.pt", b"\x80\x02" + name("\x1b[31m\r:x\u202e") + b".")
        )

    def test_a_layer_is_never_the_real_one(self, tmp_path):
        """Its constructor would build whatever the pickle says."""
        built = b"\x80\x02" + name("torch.nn.modules.linear:Linear") + b"(" + number(1 << 20) + number(1 << 20) + b"tR."
        assert "not a module" in reason(archive(tmp_path / "large.pt", built))

    def test_stubs_are_for_names_of_layers_and_settings_only(self):
        assert not hasattr(Stub("argument"), "__dict__")
        for path in ("ultralytics.nn.tasks.DetectionModel", "dlka.models.blocks.C2f_DLKA", "pathlib.PosixPath"):
            assert STUBS.fullmatch(path)
        for path in (
            "os.system",
            "__main__.C2f",
            "torch.load",
            "torch.nn.modules.x.y.z",
            "dlka.cli.main",
            "builtins.eval",
        ):
            assert not STUBS.fullmatch(path)


MEMORY_OF_ITS_OWN = {
    "a tensor of a size": name("torch:FloatTensor") + b"(" + number(4) + b"tR",
    "a typed storage of a size": rebuild(name("torch.storage:TypedStorage") + b"(" + number(4) + b"tR"),
}
HOSTILE = {
    "beyond the storage": saved(rebuild(offset=number(1))),
    "negative offset": saved(rebuild(offset=number(-1))),
    "negative stride": saved(rebuild(stride=number(-1) + b"\x85")),
    "negative size": saved(rebuild(size=number(-1) + b"\x85")),
    "stretched by stride 0 to 6 GB": saved(rebuild(size=number(3 << 29) + b"\x85", stride=number(0) + b"\x85")),
    "stretched to 10^12": saved(
        rebuild(size=number(10**6) + number(10**6) + b"\x86", stride=number(0) + number(0) + b"\x86")
    ),
    "overflowing sizes": saved(rebuild(size=b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85")),
    "a list for a size": saved(rebuild(size=b"]")),
    "a text for an offset": saved(rebuild(offset=string("0"))),
    "too few arguments": saved(name("torch._utils:_rebuild_tensor_v2") + b")R"),
    "storage claims more": saved(rebuild(storage(count=number(1000)), size=number(1000) + b"\x85")),
    "storage claims 6 GB": saved(rebuild(storage(count=number(3 << 29)))),
    "storage of negative size": saved(rebuild(storage(count=number(-4)))),
    "storage that is not there": saved(rebuild(storage(key=string("17")))),
    "storage from elsewhere": saved(rebuild(storage(key=string("../../../etc/passwd")))),
    "a storage's key is a list": saved(rebuild(storage(key=b"]"))),
    "a storage of a size": saved(rebuild(name("torch.storage:UntypedStorage") + b"(" + number(16) + b"tR")),
    "no storage": saved(rebuild(b"N")),
    "BUILD of the storage's class": saved(rebuild(storage(after=b"}" + string("dtype") + string("XX") + b"sb"))),
    "BUILD of a tensor by name": saved(rebuild() + b"}" + string("size") + number(3000000) + b"\x85sb"),
    "BUILD of a tensor beyond": saved(
        rebuild() + b"(" + storage() + number(0) + number(3000000) + b"\x85" + number(1) + b"\x85tb"
    ),
    "a method of a parameter": saved(
        name("torch._utils:_rebuild_parameter_with_state")
        + (b"(" + rebuild(size=number(1 << 20) + b"\x85", stride=number(0) + b"\x85") + b"\x89N}")
        + (string("untyped_storage") + name("collections:OrderedDict") + b"stR")
    ),
    "complex": saved(rebuild(storage("ComplexFloatStorage", count=number(2)), size=number(2) + b"\x85")),
    "quantised": saved(rebuild(storage("QInt8Storage", count=number(16)))),
    "on no device": saved(
        name("torch._utils:_rebuild_meta_tensor_no_storage")
        + (b"(" + name("torch:float32") + number(4) + b"\x85" + number(1) + b"\x85\x89tR")
    ),
    "an attribute of a class": b"\x80\x02" + name("ultralytics.nn.tasks:DetectionModel") + b"}b.",
    "another class for an object": b"\x80\x02"
    + (
        name("collections:Counter") + b")R" + b"N}" + string("__class__") + name("collections:OrderedDict") + b"s\x86b."
    ),
    "NEWOBJ_EX": b"\x80\x04" + name("collections:OrderedDict") + b")}\x92.",
    "persistent number": b"\x80\x02" + number(7) + b"Q.",
    "persistent text": b"P0\n.",
    "far memo index": b"\x80\x02Nr\xff\xff\xff\xff.",
    "memo that was never set": b"\x80\x02h\x07.",
    "long string without content": b"\x80\x04\x8d" + struct.pack("<Q", 6 << 30) + b".",
    "array without content": b"\x80\x05\x96" + struct.pack("<Q", 6 << 30) + b".",
    "extension code": b"\x80\x02\x82\x01.",
    "no end": b"\x80\x02}",
    "empty pickle": b"",
    "no tensors": b"\x80\x02}.",
    "a list": b"\x80\x02].",
    "a dict that is its own state dict": b"\x80\x02}q\x00" + string("state_dict") + b"h\x00s.",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "a dict with a number as a key": b"\x80\x02}K\x01" + rebuild() + b"s.",
    "a name with a line end": b"\x80\x02}" + string("a\nb") + rebuild() + b"s.",
    "a name of half a letter": b"\x80\x02}X\x03\x00\x00\x00\xed\xa0\x80" + rebuild() + b"s.",
    "a long name": b"\x80\x02}" + string("a" * 301) + rebuild() + b"s.",
    "ten thousand and one tensors": b"\x80\x02}"
    + (string("a") + rebuild() + b"q\x01s" + b"".join(string(f"t{i}") + b"h\x01s" for i in range(10_000)) + b"."),
}


class TestHostilePickles:
    @pytest.mark.parametrize("kind", list(HOSTILE))
    def test_they_are_refused_without_memory(self, tmp_path, kind):
        path = archive(tmp_path / "hostile.pt", HOSTILE[kind])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reason(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # kilobytes

    def test_the_unharmed_one_is_read(self, tmp_path):
        """The hostile ones above are this one with one part changed."""
        assert read(archive(tmp_path / "good.pt", saved(rebuild())))[0]["w"].tolist() == [1, 2, 3, 4]

    @pytest.mark.parametrize("kind", list(MEMORY_OF_ITS_OWN))
    def test_memory_of_this_process_never_comes_out(self, tmp_path, kind):
        """Such a tensor would hold what the reader last had in that place."""
        path = archive(tmp_path / "leak.pt", saved(MEMORY_OF_ITS_OWN[kind]))
        assert "do not stand in the file" in reason(path)

    def test_one_storage_under_two_types_gives_what_stands_in_the_file(self, tmp_path):
        two = b"\x80\x02}" + string("a") + rebuild() + b"s" + string("b")
        ints = rebuild(storage("LongStorage", count=number(2)), size=number(2) + b"\x85")
        tensors, _ = read(archive(tmp_path / "two.pt", two + ints + b"s."))
        assert tensors["a"].tolist() == [1, 2, 3, 4]
        assert tensors["b"].tolist() in ([1, 2], list(struct.unpack("<2q", VALUES["0"])))

    def test_an_ordered_dict_with_methods_of_its_own(self, tmp_path):
        shadow = b"}" + string("items") + name("collections:OrderedDict") + b"s"
        state = name("collections:OrderedDict") + b")R" + string("w") + rebuild() + b"s" + shadow + b"b"
        tensors, _ = read(archive(tmp_path / "shadow.pt", b"\x80\x02" + state + b"."))
        assert tensors["w"].tolist() == [1, 2, 3, 4]

    @pytest.mark.slow
    @pytest.mark.parametrize("file", sorted(CASES.glob("*.pt")), ids=lambda p: p.stem)
    def test_kept_cases(self, file):
        assert "not made by torch.save" in refusal(file)


def module(place: int, children: bytes) -> bytes:
    """A module without tensors, which the pickle remembers in a place."""
    state = b"}" + b"".join(string(key) + b"}s" for key in ("_parameters", "_buffers")) + string("_modules") + children
    return name("torch.nn.modules.container:Sequential") + b")\x81q" + bytes([place]) + state + b"sb"


def module_loop() -> bytes:
    """A module that is its own child."""
    return b"\x80\x02" + module(0, b"}" + string("a") + b"h\x00s") + b"."


def module_bush() -> bytes:
    """Forty modules, each twice the child of the next: 2^40 paths in a few kilobytes."""
    modules = b""
    for level in range(40):
        children = b"}" + (b"".join(string(c) + bytes([ord("h"), level - 1]) + b"s" for c in "ab") if level else b"")
        modules += module(level, children)
    return b"\x80\x02}" + string("all") + b"](" + modules + b"es" + string("model") + b"h\x27s."


def settings_bush() -> bytes:
    """Train settings of 2^40 values: a list that twice holds a list that twice holds a list, and so on."""
    lists = b"]q\x00" + b"".join(b"](h" + bytes([i, ord("h"), i]) + b"eq" + bytes([i + 1]) for i in range(40))
    weights = string("state_dict") + b"}" + string("w") + rebuild() + b"ss"
    return b"\x80\x02}" + weights + string("train_args") + b"}" + string("a") + b"(" + lists + b"tss."


class TestStructuresWithoutEnd:
    @pytest.mark.parametrize("make", [module_loop, module_bush, settings_bush])
    def test_they_are_refused(self, tmp_path, make):
        assert "without end" in reason(archive(tmp_path / "bush.pt", make()))

    def test_settings_of_a_megabyte(self, tmp_path):
        torch.save(
            {"state_dict": {"w": torch.ones(1)}, "train_args": {str(i): "x" * 2000 for i in range(600)}},
            tmp_path / "a.pt",
        )
        assert "larger than 1 MB" in reason(tmp_path / "a.pt")


class TestArchives:
    def test_what_torch_does_not_write_is_refused(self, tmp_path):
        good = archive(tmp_path / "good.pt", saved(rebuild()))
        zeros = archive(tmp_path / "bomb.pt", saved(rebuild()), {"0": bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
        assert "compressed" in reason(zeros)
        data = good.read_bytes()
        for file, content, says in (
            ("cut.pt", data[:-30], "cut off"),
            ("flipped.pt", data.replace(b"FloatStorage", b"FloatStorafe", 1), "torch.FloatStorafe|damaged"),
            ("magic.pt", b"QK" + data[2:], "zip archive"),
            ("text.pt", b"hello, I am weights", "zip archive"),
            ("empty.pt", b"", "zip archive"),
            ("nul.pt", bytes(1000), "zip archive"),
        ):
            (tmp_path / file).write_bytes(content)
            assert any(word in reason(tmp_path / file) for word in says.split("|")), file
        with zipfile.ZipFile(tmp_path / "other.pt", "w") as file:
            file.writestr("readme.txt", "no checkpoint")
        assert "not made by torch.save" in reason(tmp_path / "other.pt")

    @pytest.mark.slow
    def test_a_tensor_with_the_name_of_the_formats_own_entry_is_refused(self, tmp_path):
        pickled = b"\x80\x02}" + string("__metadata__") + rebuild() + b"s."
        assert "without a proper name" in refusal(archive(tmp_path / "a.pt", pickled))

    @pytest.mark.slow
    def test_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.pt")
        assert refusal(tmp_path / "none.pt") == "none.pt: there is no such file."
        assert refusal(tmp_path / "pipe.pt") == "pipe.pt is no file."
        assert refusal(tmp_path) == f"{tmp_path.name} is no file."

    def test_two_entries_of_one_name_and_place_hold_no_more_than_the_file(self, tmp_path):
        """Two names in the directory for one and the same content: the classic bomb without compression."""
        path = archive(tmp_path / "twice.pt", saved(rebuild()), {"0": bytes(8), "1": bytes(4000)})
        with zipfile.ZipFile(path) as file:
            first = file.getinfo("m/data/1")
        data = bytearray(path.read_bytes())
        entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"m/data/0"))
        data[entry + 16 : entry + 28] = struct.pack("<III", first.CRC, first.compress_size, first.file_size)
        data[entry + 42 : entry + 46] = struct.pack("<I", first.header_offset)
        path.write_bytes(bytes(data))
        assert "overlap" in reason(path)

    def test_the_old_format_and_torchscript_are_refused_with_what_to_do(self, tmp_path):
        torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
        assert "before torch 1.6" in reason(tmp_path / "old.pt")
        with zipfile.ZipFile(archive(tmp_path / "script.pt", saved(rebuild())), "a") as file:
            file.writestr("m/constants.pkl", b"\x80\x02).")
        assert "TorchScript" in reason(tmp_path / "script.pt")

    def test_objects_that_are_no_tensors_are_named(self, tmp_path):
        torch.save({"sparse": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
        assert "sparse is not stored as a plain tensor" in reason(tmp_path / "sparse.pt")
        torch.save({"when": datetime(2026, 1, 1)}, tmp_path / "date.pt")
        assert "it names datetime.datetime" in reason(tmp_path / "date.pt")


class TestTheChild:
    @pytest.mark.slow
    def test_one_that_takes_too_long_is_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reading, "SECONDS", 0.001)
        assert "seconds" in refusal(archive(tmp_path / "slow.pt", saved(rebuild())))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "large",
        [
            name("__builtin__:bytearray") + b"(\x8a\x05" + (6 << 30).to_bytes(5, "little") + b"tR",
            name("torch:DoubleTensor") + b"(" + number(3 << 28) + b"tR",
        ],
        ids=["Python", "torch"],
    )
    def test_one_cannot_take_more_memory_than_its_limit(self, tmp_path, large):
        """Files of 1 kB that ask for 6 GB."""
        assert MEMORY == 2 << 30
        assert "more than 2 GB of memory" in refusal(archive(tmp_path / "bomb.pt", saved(large)))

    @pytest.mark.slow
    def test_one_that_dies_leaves_a_sentence(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reading, "BOOT", f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})  # {{}}")
        assert "memory or time" in refusal(archive(tmp_path / "dead.pt", saved(rebuild())))

    @pytest.mark.slow
    def test_one_that_fails_is_a_fault_of_this_program(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reading, "BOOT", "raise KeyError('a bug')  # {}")
        with pytest.raises(RuntimeError, match="KeyError: 'a bug'"):
            read_checkpoint(archive(tmp_path / "good.pt", saved(rebuild())))

    @pytest.mark.slow
    def test_its_limits_of_memory(self):
        code = "from dlka.models.checkpoint_child import *; limit_resources(); bytearray({})"
        run = subprocess.run([sys.executable, "-c", code.format("MEMORY + (64 << 20)")], capture_output=True, text=True)
        assert "MemoryError" in run.stderr
        assert subprocess.run([sys.executable, "-c", code.format("MEMORY // 2")], check=False).returncode == 0


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_damaged_checkpoint_is_refused_or_read_and_nothing_else(tmp_path_factory, data):
    path = archive(tmp_path_factory.mktemp("fuzz") / "fuzz.pt", saved(rebuild()))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(DlkaError):
        assert read(path)[0]


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=4))
@settings(deadline=None, max_examples=100)
def test_an_accepted_view_lies_inside_its_storage(tmp_path_factory, offset, shape):
    size, stride = ([number(value) for value in values] for values in (zip(*shape) if shape else ((), ())))
    places = offset + sum(
        np.indices([s for s, _ in shape]) * np.array([s for _, s in shape]).reshape(-1, *[1] * len(shape))
    )
    count = int(np.prod([s for s, _ in shape]))
    inside = count == 0 or (np.max(places) < 4 and count <= 4)
    sizes, strides = (b"(" + b"".join(values) + b"t" for values in (size, stride))
    path = archive(
        tmp_path_factory.mktemp("view") / "view.pt", saved(rebuild(storage(), number(offset), sizes, strides))
    )
    try:
        read(path)
    except DlkaError:
        assert not inside
    else:
        assert inside
