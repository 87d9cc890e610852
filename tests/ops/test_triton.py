"""The CUDA kernels against the oracle: interpreted on a machine without a GPU, compiled on one with.

Without a GPU they are also compiled for sm_80 and sm_90, and the machine code is looked at.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_operator import make
from torchvision.ops import deform_conv2d

from dlka.ops import backends, deform_dwconv2d, library
from dlka.ops.geometry import Geometry, channels_last
from dlka.ops.sampling import output_size

pytestmark = pytest.mark.slow

triton = pytest.importorskip("triton", reason="triton is not installed")

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
MODULES = [f"dlka.ops.triton_{part}" for part in ("cuda", "backward", "forward", "sampling")]
NAN, INF = float("nan"), float("inf")
PLAIN = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}


def fresh():
    """The host module and its kernels, imported again: what they become is decided while they are imported."""
    for name in MODULES:
        sys.modules.pop(name, None)
    return importlib.import_module("dlka.ops.triton_cuda")


@pytest.fixture(scope="module")
def host():
    """dlka.ops.triton_cuda; without a GPU interpreted, and then it computes for the CPU too."""
    with pytest.MonkeyPatch.context() as patch:
        if not GPU:
            patch.setenv("TRITON_INTERPRET", "1")
            patch.setitem(library.KERNELS, "cpu", "triton_cuda")
            supported = backends.Backend(lambda device: None, backends.BACKENDS["triton"].load, half=True)
            patch.setitem(backends.BACKENDS, "triton", supported)
        module = fresh()
        assert GPU != module.INTERPRETED
        if GPU:  # tests do not wait for tuning
            patch.setattr(module, "configs", lambda *a, all_of=module.configs: all_of(*a)[:1])
        yield module
    for name in MODULES:
        sys.modules.pop(name, None)
    backends.READY.pop(("triton", DEVICE, 2), None)


def compute(tensors, geometry, grad=None, backend="triton"):
    """Output and gradients of x, offset, weight and bias, all on the CPU."""
    device = DEVICE if backend == "triton" else "cpu"
    leaves = [t.detach().to(device).requires_grad_() for t in tensors]
    out = deform_dwconv2d(*leaves, **geometry, backend=backend)
    if grad is None:
        grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    grads = torch.autograd.grad(out, leaves, grad.to(device), materialize_grads=True)
    return out.detach().cpu(), [g.cpu() for g in grads]


def assert_equal_to_the_oracle(tensors, geometry, grad=None, tolerance=2e-5):
    """Outputs and all gradients against the reference in float64."""
    out, grads = compute(tensors, geometry, grad)
    grad = None if grad is None else grad.double()
    wanted, wanted_grads = compute([t.double() for t in tensors], geometry, grad, "reference")
    for name, got, want in zip(("out", "x", "offset", "weight", "bias"), (out, *grads), (wanted, *wanted_grads)):
        scale = max(1.0, float(want.abs().nan_to_num().max())) if want.numel() else 1.0
        torch.testing.assert_close(
            got.double(),
            want,
            rtol=tolerance,
            atol=tolerance * scale,
            equal_nan=True,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kernel": (1, 1), "padding": (0, 0), "dilation": (1, 1), "shape": (1, 1, 1, 1), "stride": (1, 1)},
        {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "shape": (3, 3, 4, 6)},
        {"kernel": (2, 3), "stride": (1, 3), "padding": (2, 3), "dilation": (1, 2), "shape": (2, 17, 3, 5)},
    ],
)
def test_equal_to_the_oracle(host, dtype, changes):
    tensors, geometry = make(dtype=dtype, **changes)
    assert_equal_to_the_oracle(tensors, geometry, tolerance=1e-10 if dtype == torch.float64 else 2e-5)


def test_large_stage_of_dlka(host):
    tensors, geometry = make((1, 4, 5, 3), (7, 7), (1, 1), (9, 9), (3, 3), dtype=torch.float32)
    assert_equal_to_the_oracle(tensors, geometry)


@pytest.mark.parametrize("channels", [1, 20, 64, 130, 256])
def test_channels(host, channels):
    """Fewer than a vector, no power of two, two blocks in one program, several blocks with a ragged last one."""
    tensors, geometry = make((2, channels, 3, 2), (2, 1), (1, 1), (1, 0), (1, 1), dtype=torch.float32)
    assert_equal_to_the_oracle(tensors, geometry)


def test_more_cells_than_a_program_owns(host):
    tensors, geometry = make((1, 20, 7, 8), (1, 2), (1, 1), (0, 1), (1, 1), dtype=torch.float32)
    assert host.split(1, 7 * 9, 2, 1)[:2] == (32, 2)  # two chunks of two blocks
    assert_equal_to_the_oracle(tensors, geometry)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("channels", [5, 64])
def test_every_candidate_computes_the_same(host, direction, channels, monkeypatch):
    host.tuned.cache_clear()
    kernel = getattr(host, f"{direction}_kernel")
    real = host.configs
    tensors, geometry = make((2, channels, 2, 9), (1, 2), (1, 1), (0, 0), (1, 1), dtype=torch.float32)
    results = []
    for config in real(kernel, channels, 4):
        host.tuned.cache_clear()
        monkeypatch.setattr(host, "configs", lambda k, *a, one=config: [one] if k is kernel else real(k, *a)[:1])
        out, grads = compute(tensors, geometry)
        results.append((out, *grads))
    host.tuned.cache_clear()
    for result in results:
        for got, wanted in zip(result, results[0]):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    images=st.integers(1, 2),
    channels=st.integers(1, 9),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 1000),
)
def test_any_geometry(host, images, channels, size, kernel, stride, padding, dilation, seed):
    if min(output_size(size, kernel, stride, padding, dilation)) < 1:
        return
    tensors, geometry = make((images, channels, *size), kernel, stride, padding, dilation, seed=seed)
    assert_equal_to_the_oracle(tensors, geometry, tolerance=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_features(host, dtype):
    """Half goes in and comes out; between, coordinates and sums are float32: only the last rounding is half's."""
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    tensors = (x.to(dtype), offset, weight.to(dtype), bias.to(dtype))
    out, grads = compute(tensors, geometry)
    assert [out.dtype, *(g.dtype for g in grads)] == [dtype, dtype, torch.float32, dtype, dtype]
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    wanted, wanted_grads = compute([t.double() for t in tensors], geometry, grad.double(), "reference")
    last_place = torch.finfo(dtype).eps
    for got, want in zip((out, *grads), (wanted, *wanted_grads)):
        tolerance = 1e-5 if got.dtype == torch.float32 else last_place  # the bias is summed by torch
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=1e-4)


def test_half_is_never_widened_in_memory(host, monkeypatch):
    seen = []
    real = host.rows
    monkeypatch.setattr(host, "rows", lambda x: seen.append(x.dtype) or real(x))
    (x, offset, weight, _), geometry = make(dtype=torch.float32)
    compute((x.bfloat16(), offset, weight.bfloat16()), geometry)
    assert seen == [torch.bfloat16] * 2
    last = x.contiguous(memory_format=torch.channels_last)
    assert real(last).data_ptr() == last.data_ptr()


def test_autocast(host):
    tensors, geometry = make(dtype=torch.float32)
    leaves = [t.to(DEVICE).requires_grad_() for t in tensors]
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        out = deform_dwconv2d(*leaves, **geometry, backend="triton")
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(leaf.grad.dtype == torch.float32 and leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("shift", [0.0, -1.0, 3.0])
def test_whole_offsets_at_the_border_have_torchvisions_gradient(host, shift):
    """With a padding of one, taps read at exactly -1 and at exactly H: the rule in training, which begins at zero."""
    tensors, geometry = make((1, 3, 4, 4), (3, 3), **PLAIN)
    tensors = (tensors[0], torch.full_like(tensors[1], shift), *tensors[2:])
    leaves = [t.clone().requires_grad_() for t in tensors]
    wanted = deform_conv2d(*leaves, **geometry)
    grad = torch.ones_like(wanted)
    out, grads = compute(tensors, geometry, grad)
    torch.testing.assert_close(out, wanted.detach())
    for got, want in zip(grads, torch.autograd.grad(wanted, leaves, grad)):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("bad", [INF, 1e30, 3e9])
def test_far_offsets_read_zero(host, bad):
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    offset[:, 2] = bad  # dy of the second tap
    offset[:, 5] = -bad  # dx of the third
    near = offset.clone()
    near[:, 2] = near[:, 5] = 100
    out, grads = compute((x, offset, weight, bias), geometry)
    wanted, wanted_grads = compute((x, near, weight, bias), geometry, backend="reference")
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(out, wanted, **tolerance)
    for got, want in zip(grads, wanted_grads):
        torch.testing.assert_close(got, want, **tolerance)


@pytest.mark.parametrize(("channel", "dtype"), [(0, torch.float32), (5, torch.bfloat16), (11, torch.float32)])
def test_nan_offsets_give_nan_there_and_nothing_flows_back(host, channel, dtype):
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    tensors = (x.to(dtype), offset, weight.to(dtype), bias.to(dtype))
    out, _ = compute(tensors, geometry)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32).to(dtype)
    without = grad.clone()
    without[1, :, 0, 2] = 0
    _, wanted_grads = compute(tensors, geometry, without)
    offset[1, channel, 0, 2] = NAN
    got, grads = compute(tensors, geometry, grad)
    assert got[1, :, 0, 2].isnan().all()
    got[1, :, 0, 2] = out[1, :, 0, 2]
    torch.testing.assert_close(got, out)
    wanted_grads[1][1, :, 0, 2] = 0  # of the offsets there nothing is known, a gradient of zero included
    for one, want in zip(grads, wanted_grads):
        torch.testing.assert_close(one, want)


def test_infinite_features_stay_where_they_are(host):
    """What lies outside the map is zero, not a border cell times zero."""
    (x, offset, weight, bias), geometry = make((1, 2, 3, 3), (1, 1), (1, 1), (0, 0), (1, 1), dtype=torch.float32)
    offset[:] = -5
    x[:] = INF
    out, _ = compute((x, offset, weight, bias), geometry)
    torch.testing.assert_close(out, bias.view(1, 2, 1, 1).expand_as(out))


def test_scratch_memory_is_written_before_it_is_read(host, monkeypatch):
    tensors, geometry = make((1, 130, 2, 3), (1, 2), **PLAIN, dtype=torch.float32)
    wanted = compute(tensors, geometry)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(NAN))
    got = compute(tensors, geometry)
    torch.testing.assert_close(got, wanted)


def test_empty_batch(host):
    tensors, geometry = make((0, 5, 5, 4), dtype=torch.float32)
    out, grads = compute(tensors, geometry)
    assert out.shape == (0, 5, 2, 3)
    assert [g.shape for g in grads] == [t.shape for t in tensors]
    assert not any(g.any() for g in grads)


def test_64_bit_indices_compute_the_same(host, monkeypatch):
    tensors, geometry = make((2, 64, 4, 3), (1, 2), **PLAIN, dtype=torch.float32)
    wanted = compute(tensors, geometry)
    monkeypatch.setattr(host, "INT32", 1)
    got = compute(tensors, geometry)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_when_an_image_needs_64_bits(host):
    def needs(channels, height, width, taps=1, images=100):
        offset = torch.empty(images, 2 * taps, height, width, device="meta")
        return host.needs_int64(torch.empty(images, channels, height, width, device="meta"), offset)

    assert not needs(256, 2048, 2048)
    assert needs(512, 2048, 2048)
    assert not needs(1, 4096, 4096, taps=49)
    assert needs(1, 8192, 4096, taps=49)


@pytest.mark.parametrize("last", [False, True])
def test_memory_format_is_kept(host, last):
    (x, *rest), geometry = make(dtype=torch.float32)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    raw = host.forward(*(t.to(DEVICE) for t in (x, *rest)), Geometry((3, 2), **geometry))
    assert channels_last(raw) == last
    assert raw.is_contiguous() != last
    torch.testing.assert_close(raw.cpu(), compute((x, *rest), geometry, backend="reference")[0])


def test_permuted_memory(host):
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    odd = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    spread = offset.repeat_interleave(2, dim=-1)[..., ::2]
    turned = weight.transpose(2, 3).contiguous().transpose(2, 3)
    grad = torch.randn(2, 3, 2, 5, generator=torch.Generator().manual_seed(2)).permute(0, 3, 2, 1)
    assert_equal_to_the_oracle((odd, spread, turned, bias.flip(0).flip(0)), geometry, grad)
    assert_equal_to_the_oracle((x, offset, weight, bias), geometry, torch.ones(()).expand(2, 5, 2, 3))


def test_deterministic_algorithms_are_refused_or_warned_of(host):
    tensors, geometry = make(dtype=torch.float32)
    x, offset, weight, _ = (t.to(DEVICE) for t in tensors)
    shape = Geometry((3, 2), **geometry)
    grad = torch.ones(2, 5, 2, 3, device=DEVICE)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        host.forward(x, offset, weight, None, shape)
        with pytest.raises(RuntimeError, match=r"in no certain order.*use backend='torch'"):
            host.backward(grad, x, offset, weight, shape)
        torch.use_deterministic_algorithms(True, warn_only=True)
        with pytest.warns(UserWarning, match="in no certain order"):
            host.backward(grad, x, offset, weight, shape)
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True])
def test_opcheck(host, dtype, last):
    """The fake kernels tell shapes, dtypes and memory formats as they are."""
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    lists = [list(geometry[k]) for k in ("stride", "padding", "dilation")]
    x, weight, bias = (t.to(DEVICE, dtype) for t in (x, weight, bias))
    offset = offset.to(DEVICE)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(library.fused, (x, offset, weight, bias, *lists), test_utils=tests)
    grad = torch.randn(2, 5, 2, 3).to(DEVICE, dtype)
    torch.library.opcheck(library.fused_backward, (grad, x, offset, weight, *lists), test_utils=tests)


def test_split(host):
    """Chunks hold whole blocks of every candidate, cover the map, and there is work for a large card."""
    for images, cells, taps, blocks in (
        (1, 1, 1, 1),
        (1, 400, 49, 1),
        (32, 6400, 25, 2),
        (8, 25600, 49, 1),
        (1, 7, 4, 9),
    ):
        chunk, chunks, programs = host.split(images, cells, taps, blocks)
        assert (chunks - 1) * chunk < cells <= chunks * chunk
        assert 1 <= programs <= taps
        assert programs == taps or images * chunks * programs * blocks >= host.PROGRAMS
        for channels in (1, 3, 32, 100, 256):
            for config in host.configs(host.backward_kernel, channels, 4):
                assert chunk % config.kwargs["BLOCK_P"] == 0


# What is compiled without a GPU: kernel, dtype, channels, tile of the forward's result, 64-bit indices.
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float64: "*fp64"}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """compile(kernel name, dtype, channels, arch, candidate, ...) -> asm, from modules that are not interpreted."""
    if not (TOOLS / "ptxas").is_file():
        pytest.skip("this build of triton has no ptxas")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        module = fresh()

        def build(name, dtype, channels, arch, candidate=0, taps=(2, 7), long=False, last=False):
            kernel = getattr(module, f"{name}_kernel")
            if name == "clean":
                sizes, warps = {"BLOCK_P": 64, "BLOCK_C": 32}, 4
            else:
                config = module.configs(kernel, channels, dtype.itemsize)[candidate]
                sizes, warps = config.kwargs, config.num_warps
            constants = {"C": channels, "KH": taps[0], "KW": taps[1], "OFFSETS": 2 * taps[0] * taps[1]}
            constants |= {"HAS_BIAS": True, "CHANNELS_LAST": last, "LONG": long, **sizes}
            wide = "*fp64" if dtype == torch.float64 else "*fp32"
            wides = ("offset", "grad_x", "grad_offset", "grad_weight")
            signature, values, hints = {}, {}, {}
            for i, argument in enumerate(kernel.arg_names):
                if argument in constants:
                    signature[argument], values[(i,)] = "constexpr", constants[argument]
                elif argument in (*wides, "x", "weight", "bias", "out", "grad", "clean"):
                    signature[argument] = wide if argument in wides else POINTERS[dtype]
                    hints[(i,)] = [["tt.divisibility", 16]]
                else:
                    signature[argument] = "i32"
            source = ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=hints)
            return triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps}).asm

        yield build, module
    for name in MODULES:
        sys.modules.pop(name, None)


def usage(asm, folder):
    """Registers and bytes of stack per thread, as the assembler reports them."""
    file = folder / "kernel.cubin"
    file.write_bytes(asm["cubin"])
    text = subprocess.run([TOOLS / "cuobjdump", "-res-usage", file], capture_output=True, text=True, check=True).stdout
    return tuple(int(re.search(rf"{what}:(\d+)", text)[1]) for what in ("REG", "STACK"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [32, 128])
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_every_candidate_compiles_without_spills(compiled, name, channels, dtype, tmp_path):
    build, module = compiled
    for candidate in range(len(module.configs(getattr(module, f"{name}_kernel"), channels, dtype.itemsize))):
        asm = build(name, dtype, channels, 90, candidate)
        registers, stack = usage(asm, tmp_path)
        assert stack <= 16, (candidate, registers, stack)
        whole = name == "forward" or dtype == torch.float32  # the backward's threads own four channels, of 8 bytes here
        assert re.search(r"ld\.global\.v4\.b32" if whole else r"ld\.global\.v[24]\.b32", asm["ptx"])
        if name == "backward":
            assert len(re.findall(r"\.global\.[\w.]*add\.v4\.f32", asm["ptx"])) % 4 == 0 != asm["ptx"].count("v4.f32")
            assert ".acq_rel" not in asm["ptx"]


@pytest.mark.parametrize(
    ("name", "dtype", "channels", "options"),
    [
        ("forward", torch.float16, 64, {"last": True}),
        ("forward", torch.float64, 20, {}),
        ("forward", torch.float32, 1, {"long": True, "last": True}),
        ("backward", torch.float16, 1, {}),
        ("backward", torch.float64, 20, {}),
        ("backward", torch.bfloat16, 130, {"long": True}),
        ("clean", torch.bfloat16, 64, {}),
        ("clean", torch.float64, 5, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("arch", [80, 90])
def test_other_variants_compile(compiled, arch, name, dtype, channels, options):
    build, _ = compiled
    assert build(name, dtype, channels, arch, taps=(3, 3), **options)["cubin"]


def test_a_machine_that_cannot_start_kernels_says_why(monkeypatch):
    module = importlib.import_module("dlka.ops.triton_probe")

    class Failing:
        def __getitem__(self, grid):
            raise RuntimeError("Failed to find\nC compiler.")

    monkeypatch.setattr(module, "write_one", Failing())
    error = module.start_error.__wrapped__(torch.device("cpu"))
    assert error == "Triton cannot start a kernel there (RuntimeError: Failed to find C compiler.)"


def test_the_first_kernel_runs(monkeypatch):
    if not GPU:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    sys.modules.pop("dlka.ops.triton_probe", None)
    module = importlib.import_module("dlka.ops.triton_probe")
    assert module.start_error(DEVICE) is None
    monkeypatch.setattr(module, "write_one", {(1,): lambda out: None})
    assert module.start_error.__wrapped__(DEVICE) == "Triton's kernels compute something else there (1 became 0)"
    sys.modules.pop("dlka.ops.triton_probe", None)
