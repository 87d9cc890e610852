"""Checkpoints, good and hostile: tensors come out exactly, and nothing that a file names is ever run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlka.models import convert
from dlka.models.convert import CheckpointRefused, read_checkpoint
from dlka.models.inert import STORAGES, Inert, Storage, StoredTensor, _Unpickler


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options) -> Path:
    """A file as torch.save lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("m/data.pkl", pickled)
        for key, data in (storages or {}).items():
            file.writestr(f"m/data/{key}", data)
        file.writestr("m/byteorder", b"little")
    return path


def string(value: str) -> bytes:
    """Opcode for a short string."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(offset: bytes = b"K\x00", size: bytes = b"K\x02\x85", stride: bytes = b"K\x01\x85", count: bytes = b"K\x02"):
    """A pickle of {"w": tensor} whose parts can be anything: by default two float32 values of storage 0."""
    storage = b"(" + string("storage") + b"ctorch\nFloatStorage\n" + string("0") + string("cpu") + count + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89N" + b"tR"
    return b"\x80\x02}" + string("w") + call + b"s."


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointRefused) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(path.name)
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 300
    return message


def test_the_stock_checkpoint_gives_the_tensors_that_torch_reads(shared):
    path = shared / "weights" / "yolov8n.pt"
    checkpoint = read_checkpoint(path)
    expected = torch.load(path, weights_only=False)["model"].state_dict()
    assert list(checkpoint.tensors) == list(expected)
    for name, value in expected.items():
        assert checkpoint.tensors[name].dtype == value.dtype
        assert torch.equal(checkpoint.tensors[name], value), name
    assert checkpoint.names is not None
    assert len(checkpoint.names) == 80
    assert checkpoint.names[0] == "person"
    assert checkpoint.yaml is not None
    assert checkpoint.yaml["head"][-1][2] == "Detect"
    assert checkpoint.yaml["scales"]["n"] == [0.33, 0.25, 1024]


class Block(torch.nn.Module):
    """A module that the reading process does not know, with all that a state dict can hold."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4))
        self.register_buffer("kept", torch.arange(6).reshape(2, 3))
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_parameter("none", None)
        self.names, self.yaml, self.helper = {0: "cat", 1: "dög"}, {"nc": 2, "head": [[-1, 1, "Conv", [8]]]}, Path("x")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_averaged_weights_of_an_unknown_module_go_before_the_model(tmp_path, protocol):
    torch.manual_seed(0)
    model, ema = Block(), Block().half()
    settings = {"imgsz": 640, "lr0": 0.01, "amp": True, "save_dir": Path("/home/a"), "freeze": None, "classes": [0, 2]}
    saved = {"epoch": 3, "model": model, "ema": ema, "optimizer": {"state": {0: torch.ones(3)}}, "train_args": settings}
    torch.save(saved, tmp_path / "a.pt", pickle_protocol=protocol)
    checkpoint = read_checkpoint(tmp_path / "a.pt")
    assert list(checkpoint.tensors) == list(ema.state_dict())
    assert all(torch.equal(value, checkpoint.tensors[name]) for name, value in ema.state_dict().items())
    assert checkpoint.tensors["inner.0.weight"].dtype == torch.float16
    assert (checkpoint.names, checkpoint.yaml) == (model.names, model.yaml)
    assert checkpoint.train_args == {key: value for key, value in settings.items() if key != "save_dir"}
    torch.save({**saved, "ema": None}, tmp_path / "b.pt", pickle_protocol=protocol)
    assert read_checkpoint(tmp_path / "b.pt").tensors["inner.0.weight"].dtype == torch.float32


def test_state_dicts_of_every_dtype_and_layout_come_out_equal(tmp_path):
    torch.manual_seed(0)
    base = torch.randn(4, 6, 2, 3)
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    state = {f"as.{dtype}": (base * 10).to(dtype) for dtype in (*dtypes, torch.int8, torch.uint8, torch.bool)}
    state |= {
        "channels_last": base.to(memory_format=torch.channels_last),
        "view": base[1:3, ::2, :, 1],
        "transposed": base.transpose(0, 3),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "nan": torch.tensor([float("nan"), float("inf")]),
    }
    for name, saved in (("plain", state), ("wrapped", {"state_dict": OrderedDict(state), "epoch": 1})):
        torch.save(saved, tmp_path / f"{name}.pt")
        checkpoint = read_checkpoint(tmp_path / f"{name}.pt")
        assert set(checkpoint.tensors) == set(state)
        for key, value in state.items():
            got = checkpoint.tensors[key]
            assert (got.dtype, got.shape) == (value.dtype, value.shape)
            assert torch.equal(got.nan_to_num(7), value.nan_to_num(7)), key
        assert (checkpoint.names, checkpoint.yaml, checkpoint.train_args) == (None, None, {})


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def payloads(marker: Path) -> dict[str, bytes]:
    write = f"open({str(marker)!r}, 'w')"
    command = f"touch '{marker}'"
    return {
        "os.system": pickle.dumps(Call(os.system, command), 2),
        "eval": pickle.dumps(Call(eval, write), 4),
        "exec": pickle.dumps({"model": Call(exec, write)}, 2),
        "Popen": pickle.dumps(Call(subprocess.Popen, ["touch", str(marker)]), 4),
        "getattr chain": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n("
        + (string("os") + b"tR" + string("system") + b"tR(" + string(command) + b"tR."),
        "dotted name": b"\x80\x04" + string("torch._utils") + string("_rebuild_tensor_v2.__globals__") + b"\x93.",
        "INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "BUILD": b"\x80\x02ccollections\nOrderedDict\n)R}"
        + (string("__setstate__") + b"cos\nsystem\nsb" + string(command) + b"b."),
        "BUILD of a class": b"\x80\x02cos\nsystem\n}"
        + string("__new__")
        + b"cos\nsystem\nsb("
        + string(command)
        + b"tR.",
        "torch.load": b"ctorch\nload\n(" + string(str(marker)) + b"tR.",
    }


@pytest.mark.parametrize("name", list(payloads(Path("x"))))
def test_nothing_that_a_pickle_names_is_run(tmp_path, name):
    marker = tmp_path / "ran"
    path = archive(tmp_path / "evil.pt", payloads(marker)[name])
    refusal(path)
    assert not marker.exists()


def test_a_call_that_hides_beside_good_weights_stays_a_dead_object(tmp_path):
    marker = tmp_path / "ran"
    saved = {"state_dict": {"w": torch.ones(2)}, "train_args": {"a": 1, "b": Call(os.system, f"touch '{marker}'")}}
    torch.save(saved, tmp_path / "beside.pt")
    checkpoint = read_checkpoint(tmp_path / "beside.pt")
    assert checkpoint.tensors["w"].tolist() == [1, 1]
    assert checkpoint.train_args == {"a": 1}
    assert not marker.exists()


@given(st.sampled_from(["os", "builtins", "torch", "torch._utils", "collections", "dlka.models.inert"]), st.text())
@settings(deadline=None, max_examples=200)
def test_every_other_name_is_an_inert_class(module, name):
    assume(name not in (*STORAGES, "OrderedDict", "_rebuild_tensor_v2", "_rebuild_parameter"))
    found = _Unpickler(io.BytesIO()).find_class(module, name)
    assert issubclass(found, Inert)
    assert not hasattr(found("argument"), "__dict__")


HOSTILE = {
    "beyond the storage": tensor(offset=b"K\x01"),
    "negative offset": tensor(offset=b"J\xff\xff\xff\xff"),
    "negative stride": tensor(stride=b"J\xff\xff\xff\xff\x85"),
    "negative size": tensor(size=b"J\xff\xff\xff\xff\x85"),
    "size and stride differ": tensor(stride=b")"),
    "stretched by stride 0 to 6 GB": tensor(size=b"J\x00\x00\x00\x60\x85", stride=b"K\x00\x85"),
    "overflowing sizes": tensor(size=b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85"),
    "many dimensions": tensor(size=b"(" + b"K\x01" * 40 + b"t", stride=b"(" + b"K\x01" * 40 + b"t"),
    "a list for a size": tensor(size=b"]"),
    "a text for an offset": tensor(offset=string("0")),
    "too few arguments": b"\x80\x02}" + string("w") + b"ctorch._utils\n_rebuild_tensor_v2\n)Rs.",
    "storage claims more": tensor(size=b"J\x00\x00\x00\x60\x85", count=b"J\x00\x00\x00\x60"),
    "no storage": tensor().replace(b"tQ", b"t\x30N"),
    "far memo index": b"\x80\x02Nr\xff\xff\xff\xff.",
    "long string without content": b"\x80\x04\x8d" + struct.pack("<Q", 6 << 30) + b".",
    "array without content": b"\x80\x05\x96" + struct.pack("<Q", 6 << 30) + b".",
    "extension code": b"\x80\x02\x82\x01.",
    "no end": b"\x80\x02}",
    "empty pickle": b"",
    "no tensors": b"\x80\x02}.",
    "a list": b"\x80\x02].",
    "a dict that is its own state dict": b"\x80\x02}q\x00" + string("state_dict") + b"h\x00s.",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_tensors_and_pickles_are_refused_without_memory(tmp_path, name):
    path = archive(tmp_path / "hostile.pt", HOSTILE[name], {"0": struct.pack("<2f", 1, 2)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes
    assert path.stat().st_size < 1600


def test_the_unharmed_hand_made_pickle_is_read(tmp_path):
    """The hostile ones above are this one with one part changed."""
    path = archive(tmp_path / "good.pt", tensor(), {"0": struct.pack("<2f", 1, 2)})
    assert read_checkpoint(path).tensors["w"].tolist() == [1, 2]


def module_loop() -> bytes:
    """A module that is its own child."""
    state = b"}" + b"".join(string(key) + b"}s" for key in ("_parameters", "_buffers"))
    return b"\x80\x02cm\nM\n)\x81q\x00" + state + string("_modules") + b"}" + string("a") + b"h\x00ssb."


def module_bush() -> bytes:
    """Forty modules, each twice the child of the next: 2^40 paths in a kilobyte."""
    out = b"\x80\x02"
    for level in range(40):
        children = b"}" + (b"".join(string(c) + bytes([ord("h"), level - 1]) + b"s" for c in "ab") if level else b"")
        state = (
            b"}" + b"".join(string(key) + b"}s" for key in ("_parameters", "_buffers")) + string("_modules") + children
        )
        out += b"cm\nM\n)\x81q" + bytes([level]) + state + b"sb" + b"0" * (level < 39)
    return out + b"."


def settings_bush() -> bytes:
    """Train settings of 2^40 values."""
    good = tensor()[2:-1]
    lists = b"]q\x01" + b"".join(b"0](h" + bytes([i, ord("h"), i]) + b"eq" + bytes([i + 1]) for i in range(1, 41))
    return (
        b"\x80\x02}" + string("state_dict") + good + b"s" + string("train_args") + b"}" + string("a") + lists + b"ss."
    )


@pytest.mark.parametrize("make", [module_loop, module_bush, settings_bush])
def test_structures_without_end_are_refused(tmp_path, make):
    path = archive(tmp_path / "bush.pt", make(), {"0": struct.pack("<2f", 1, 2)})
    assert "without end" in refusal(path)


def test_archives_that_torch_does_not_write_are_refused(tmp_path):
    zeros = {"0": bytes(8)}
    good = archive(tmp_path / "good.pt", tensor(), zeros)
    assert "compressed" in refusal(archive(tmp_path / "bomb.pt", tensor(), zeros, compression=zipfile.ZIP_DEFLATED))
    assert "missing" in refusal(archive(tmp_path / "lacking.pt", tensor()))
    assert "bytes where" in refusal(archive(tmp_path / "short.pt", tensor(), {"0": bytes(7)}))
    assert "too large" in refusal(archive(tmp_path / "long.pt", bytes(5 << 20)))
    data = good.read_bytes()
    for name, content, says in (
        ("cut.pt", data[:-30], "cut off"),
        ("flipped.pt", data.replace(b"FloatStorage", b"FloatStorafe", 1), "damaged"),
        ("magic.pt", b"QK" + data[2:], "zip archive"),
        ("text.pt", b"hello, I am weights", "zip archive"),
        ("empty.pt", b"", "zip archive"),
        ("nul.pt", bytes(1000), "zip archive"),
    ):
        (tmp_path / name).write_bytes(content)
        assert says in refusal(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as file:
        file.writestr("readme.txt", "no checkpoint")
    assert "data.pkl" in refusal(tmp_path / "other.pt")
    assert "no such file" in refusal(tmp_path / "none.pt")
    assert "no such file" in refusal(tmp_path)


def test_overlapping_entries_are_refused(tmp_path):
    """Two names in the directory for one and the same content: the classic bomb without compression."""
    path = archive(tmp_path / "twice.pt", tensor(), {"0": bytes(8), "1": bytes(4000)})
    data = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        first = file.getinfo("m/data/1")
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"m/data/0"))
    target = struct.pack("<III", first.CRC, first.compress_size, first.file_size)
    patched = bytearray(data)
    patched[entry + 16 : entry + 28] = target
    patched[entry + 42 : entry + 46] = struct.pack("<I", first.header_offset)
    path.write_bytes(bytes(patched))
    assert "overlap" in refusal(path)


def test_the_old_format_and_torchscript_are_refused_with_what_to_do(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "before torch 1.6" in refusal(tmp_path / "old.pt")
    with zipfile.ZipFile(archive(tmp_path / "script.pt", tensor()), "a") as file:
        file.writestr("m/constants.pkl", b"\x80\x02).")
    assert "TorchScript" in refusal(tmp_path / "script.pt")


def test_tensors_of_other_kinds_are_refused_by_name(tmp_path):
    torch.save({"sparse": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    assert "sparse is not stored as a plain tensor" in refusal(tmp_path / "sparse.pt")
    torch.save({"c": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "complex.pt")
    assert "type of values" in refusal(tmp_path / "complex.pt")


def test_a_child_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SECONDS", 0.001)
    assert "seconds" in refusal(archive(tmp_path / "slow.pt", tensor(), {"0": bytes(8)}))


def test_the_child_cannot_take_more_memory_than_its_limit():
    code = "from dlka.models.convert_child import *; limit_resources(); bytearray(MEMORY + (64 << 20))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in run.stderr
    code = code.replace("MEMORY + (64 << 20)", "MEMORY // 2")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_child_that_dies_leaves_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_BOOT", "import os; os.abort()  # {}")
    assert "memory or time" in refusal(archive(tmp_path / "dead.pt", tensor(), {"0": bytes(8)}))


@given(st.data())
@settings(deadline=None, max_examples=12)
def test_a_damaged_checkpoint_is_refused_or_read_and_nothing_else(tmp_path_factory, data):
    path = archive(tmp_path_factory.mktemp("fuzz") / "fuzz.pt", tensor(), {"0": struct.pack("<2f", 1, 2)})
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(CheckpointRefused):
        assert read_checkpoint(path).tensors


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=4), st.integers(0, 40))
@settings(deadline=None)
def test_an_accepted_view_lies_inside_its_storage(offset, shape, count):
    size, stride = tuple(s for s, _ in shape), tuple(s for _, s in shape)
    places = offset + sum(np.indices(size) * np.array(stride).reshape(-1, *[1] * len(size)))
    inside = np.prod(size) == 0 or (np.max(places) < count and np.prod(size) <= count)
    try:
        StoredTensor(Storage("F32", 4, "0", count), offset, size, stride)
    except CheckpointRefused:
        assert not inside
    else:
        assert inside
