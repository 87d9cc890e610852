"""The decoder: what people upload comes out as upright RGB, everything else as one sentence."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import dlka.images as images
from dlka.errors import DlkaError
from dlka.images import read_image


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def patches(*colours: tuple[int, ...], side: int = 16) -> np.ndarray:
    """[side, side * n, 3] uint8: one flat square per colour, so that lossy formats keep the middles."""
    return np.concatenate([np.full((side, side, len(c)), c, np.uint8) for c in colours], axis=1)


def middles(picture: np.ndarray, side: int = 16) -> np.ndarray:
    return picture[side // 2, side // 2 :: side].astype(int)


COLOURS = ((200, 30, 60), (10, 120, 200), (240, 230, 40), (0, 0, 0), (255, 255, 255))
ASYMMETRIC = np.random.default_rng(0).integers(0, 256, (11, 14, 3), np.uint8)


# EXIF orientation, from the words of the standard: the visual (row, column) of the stored pixel (r, c) in a
# stored picture of h rows and w columns, "0th row / 0th column is the visual ...".
VISUAL = {
    1: lambda r, c, h, w: (r, c),  # top / left
    2: lambda r, c, h, w: (r, w - 1 - c),  # top / right
    3: lambda r, c, h, w: (h - 1 - r, w - 1 - c),  # bottom / right
    4: lambda r, c, h, w: (h - 1 - r, c),  # bottom / left
    5: lambda r, c, h, w: (c, r),  # left / top
    6: lambda r, c, h, w: (c, h - 1 - r),  # right / top
    7: lambda r, c, h, w: (w - 1 - c, h - 1 - r),  # right / bottom
    8: lambda r, c, h, w: (w - 1 - c, r),  # left / bottom
}


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    h, w = stored.shape[:2]
    out = np.zeros((w, h, 3) if orientation >= 5 else (h, w, 3), np.uint8)
    for r in range(h):
        for c in range(w):
            out[VISUAL[orientation](r, c, h, w)] = stored[r, c]
    return out


@pytest.mark.parametrize("orientation", VISUAL)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(ASYMMETRIC), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(read_image(data), upright(ASYMMETRIC, orientation))


@pytest.mark.parametrize("orientation", VISUAL)
@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_exif_orientation_of_lossy_formats(kind: str, orientation: int) -> None:
    stored = np.concatenate([patches(*COLOURS[:3]), patches(*COLOURS[2:])])
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read_image(encode(Image.fromarray(stored), kind, exif=exif, quality=95))
    expected = upright(stored, orientation)
    assert got.shape == expected.shape
    assert np.abs(got[8::16, 8::16].astype(int) - expected[8::16, 8::16]).max() <= 8


@pytest.mark.parametrize("block", [b"II*\0\x08\0\0\0\xff\xff" + b"\x12" * 20, b"no header at all", b"MM\0"])
def test_damaged_exif_costs_the_orientation_only(block: bytes) -> None:
    data = encode(Image.fromarray(ASYMMETRIC), "PNG", exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(read_image(data), ASYMMETRIC)


def test_result_is_contiguous_and_writable() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    got = read_image(encode(Image.fromarray(ASYMMETRIC), "PNG", exif=exif))
    assert got.dtype == np.uint8
    assert got.flags.c_contiguous
    assert got.flags.writeable


def test_paths_of_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "picture.gif"  # the name says nothing about the format
    path.write_bytes(encode(Image.fromarray(ASYMMETRIC), "PNG"))
    np.testing.assert_array_equal(read_image(path), ASYMMETRIC)
    np.testing.assert_array_equal(read_image(str(path)), ASYMMETRIC)


# Modes


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("1", "TIFF"), ("L", "PNG"), ("L", "BMP"), ("LA", "PNG"), ("LA", "TIFF")]
)
def test_grey(mode: str, kind: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9, 12), np.uint8)
    if mode == "1":
        values = (values > 127) * np.uint8(255)
    got = read_image(encode(Image.fromarray(values).convert(mode), kind))
    np.testing.assert_array_equal(got, np.repeat(values[..., None], 3, axis=2))


def test_palette_gives_colours_not_indices() -> None:
    picture = Image.fromarray(patches(*COLOURS)).quantize(8, dither=Image.Dither.NONE)
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        np.testing.assert_array_equal(middles(read_image(encode(picture, kind))), COLOURS)


ON_WHITE = {0: (255, 255, 255), 128: (227, 142, 157), 255: (200, 30, 60)}  # (200, 30, 60) laid on white by hand


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_lies_on_white(kind: str) -> None:
    picture = Image.fromarray(patches(*((200, 30, 60, alpha) for alpha in ON_WHITE)))
    got = middles(read_image(encode(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))))
    assert np.abs(got - list(ON_WHITE.values())).max() <= 1


def test_grey_alpha_lies_on_white() -> None:
    got = middles(read_image(encode(Image.fromarray(patches((40, 0), (40, 128), (40, 255))), "PNG")))
    assert np.abs(got[:, 0] - [255, 147, 40]).max() <= 1


def test_palette_with_transparency_lies_on_white() -> None:
    picture = Image.fromarray(patches(*COLOURS[:3])).quantize(4, dither=Image.Dither.NONE)
    index = int(np.asarray(picture)[0, 0])
    expected = [(255, 255, 255), *COLOURS[1:3]]
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(middles(read_image(encode(picture, kind, transparency=index))), expected)


def test_one_clear_colour_lies_on_white() -> None:
    rgb = encode(Image.fromarray(patches(*COLOURS[:3])), "PNG", transparency=COLOURS[1])
    np.testing.assert_array_equal(middles(read_image(rgb)), [COLOURS[0], (255, 255, 255), COLOURS[2]])
    deep = Image.fromarray(np.repeat(np.array([[0, 257 * 90, 65535]], np.uint16), 8, 0).repeat(8, 1))
    got = read_image(encode(deep, "PNG", transparency=257 * 90))
    np.testing.assert_array_equal(got[4, 4::8, 0], [0, 255, 255])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk(kind: str) -> None:
    inks = patches((0, 255, 255, 0), (255, 0, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0))
    data = encode(Image.fromarray(inks, "CMYK"), kind, **({"quality": 95} if kind == "JPEG" else {}))
    red_cyan_yellow_black_white = [(255, 0, 0), (0, 255, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255)]
    assert np.abs(middles(read_image(data)) - red_cyan_yellow_black_white).max() <= 8
    if kind == "JPEG":  # stored the Adobe way, inverted: a decoder that is not ours agrees
        assert b"Adobe" in data
        other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(middles(read_image(data)) - middles(other)).max() <= 8


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_ycbcr_tiff(compression: str | None) -> None:
    data = encode(Image.fromarray(patches(*COLOURS)).convert("YCbCr"), "TIFF", compression=compression)
    assert np.abs(middles(read_image(data)) - COLOURS).max() <= 4


def test_lab_tiff() -> None:
    # CIE L*a*b* at D50 of sRGB red, mid grey and white, from published tables. TIFF stores 2.55 L*, and a*, b* signed.
    lab = patches((round(54.29 * 2.55), 81, 70), (round(53.59 * 2.55), 0, 0), (255, 0, 0))
    got = middles(read_image(encode(Image.fromarray(lab, "LAB"), "TIFF")))
    assert np.abs(got - [(255, 0, 0), (128, 128, 128), (255, 255, 255)]).max() <= 6


# Grey with more than 8 bits


def tiff(values: bytes, side: int, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A little-endian, uncompressed, one-strip grey TIFF, written by hand: Pillow does not write these kinds."""
    entries = [(256, side), (257, side), (258, bits), (259, 1), (262, photometric), (273, 146), (277, 1), (278, side)]
    entries += [(279, len(values)), (284, 1), (339, sample_format)]
    ifd = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + ifd + struct.pack("<I", 0)
    assert len(head) == 146
    return head + values


RAMP = np.arange(256, dtype=np.int64).reshape(16, 16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(values), kind))[..., 1], expected)


def test_32_bit_integers_with_16_bit_values_are_taken_as_16_bit() -> None:
    values = (RAMP * 257)[:, ::-1].astype(np.int32) // 2
    np.testing.assert_array_equal(
        read_image(encode(Image.fromarray(values), "TIFF"))[..., 2], np.rint(values / 257).astype(np.uint8)
    )


@pytest.mark.parametrize(
    ("values", "bits", "sample_format"),
    [
        ((RAMP * 16_843_009).astype("<u4"), 32, 1),  # the whole unsigned range; its upper half is negative if misread
        ((RAMP * 16_843_009 - 2**31).astype("<i4"), 32, 2),
        ((RAMP * 257 - 2**15).astype("<i2"), 16, 2),
        ((RAMP / 255).astype("<f4"), 32, 3),
        ((RAMP * 1e36 - 1e38).astype("<f4"), 32, 3),
    ],
)
def test_signed_long_and_float_grey_is_stretched(values: np.ndarray, bits: int, sample_format: int) -> None:
    got = read_image(tiff(values.tobytes(), 16, bits, sample_format=sample_format))
    np.testing.assert_array_equal(got[..., 0], RAMP)


def test_flat_float_picture_is_black() -> None:
    assert not read_image(encode(Image.fromarray(np.full((8, 8), 7, np.float32)), "TIFF")).any()


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")])
def test_16_bit_grey_is_as_bright_as_the_least_depth_that_holds_it(dtype: type, kind: str) -> None:
    for values, white in ((RAMP, 255), (RAMP * 4 + 3, 1023), (RAMP * 16 + 15, 4095), (RAMP * 16 + 16, 65535)):
        got = read_image(encode(Image.fromarray(values.astype(dtype)), kind))
        np.testing.assert_array_equal(got[..., 1], np.rint(values * (255 / white)))


def test_12_bit_and_white_is_zero() -> None:
    pairs = np.array([0, 4095] * 128).reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    got = read_image(tiff(packed.astype(np.uint8).tobytes(), 16, 12))
    np.testing.assert_array_equal(got[0, :4, 0], [0, 255, 0, 255])
    inverted = read_image(tiff((RAMP * 257).astype("<u2").tobytes(), 16, 16, photometric=0))
    np.testing.assert_array_equal(inverted[..., 0], 255 - RAMP)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    values = np.zeros((8, 8), np.float32)
    values[3, 4] = bad
    with pytest.raises(DlkaError, match="not finite"):
        read_image(encode(Image.fromarray(values), "TIFF"))


# First frames


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_first_frame(kind: str) -> None:
    frames = [Image.fromarray(patches(colour)) for colour in COLOURS[:3]]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.abs(middles(read_image(data)) - COLOURS[0]).max() <= 4


# Refusals


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds no pixels: decoding it would say "damaged", not "too large"."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (7, 100, "at least 8"),
        (100, 7, "at least 8"),
        (20_001, 8, "at most 20000"),
        (8, 20_001, "at most 20000"),
        (10_000, 5_001, "at most 50 million"),
        (15_000, 15_000, "at most 50 million"),  # beyond Pillow's own bomb error
    ],
)
def test_sizes_are_refused_by_header(
    width: int, height: int, words: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(images.PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DlkaError, match=words):
        read_image(png_header(width, height))
    assert not recwarn.list


@pytest.mark.parametrize(("width", "height"), [(8, 100), (10_000, 5_000), (20_000, 8)])
def test_sizes_at_the_limit_reach_the_decoder(width: int, height: int) -> None:
    with pytest.raises(DlkaError, match="damaged"):
        read_image(png_header(width, height))


def test_pillows_own_limit_is_a_refusal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.fromarray(ASYMMETRIC), "TIFF")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DlkaError):
        read_image(data)


def test_too_many_bytes_are_refused_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(png_header(64, 64))
        file.truncate(2**30)  # sparse: takes no space
    tracemalloc.start()
    try:
        with pytest.raises(DlkaError, match="20 MB"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * images.MAX_BYTES
    finally:
        tracemalloc.stop()
    with pytest.raises(DlkaError, match="20 MB"):
        read_image(bytes(images.MAX_BYTES + 1))


def test_bytes_at_the_limit_are_read() -> None:
    data = encode(Image.fromarray(ASYMMETRIC), "PNG")
    np.testing.assert_array_equal(read_image(data.ljust(images.MAX_BYTES, b"\0")), ASYMMETRIC)


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>",
        b"%PDF-1.7\n",
        b"8BPS\0\1" + bytes(64),
        b"SIMPLE  =                    T",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
        b"P6 16 16 255\n" + bytes(768),
        b"hello",
    ],
)
def test_formats_outside_the_list_are_refused(data: bytes) -> None:
    with pytest.raises(DlkaError, match=r"save it as one of JPEG, PNG"):
        read_image(data)


def test_files_that_are_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    for source, words in [
        (tmp_path / "missing.png", "No such file"),
        (tmp_path, "folder"),
        (tmp_path / "pipe.png", "device"),
        ("/dev/zero", "device"),
        (tmp_path / "empty.png", "empty"),
        (b"", "empty"),
        ("nul\0byte.png", "not a usable path"),
        (None, "NoneType"),
        (3, "int"),
    ]:
        with pytest.raises(DlkaError, match=words):
            read_image(source)


def test_jpeg_with_endless_passes_is_refused() -> None:
    data = encode(Image.fromarray(ASYMMETRIC), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    assert read_image(data).shape == ASYMMETRIC.shape
    with pytest.raises(DlkaError, match="passes"):
        read_image(data[:second] + data[first:second] * 100 + data[second:])


def test_pass_markers_outside_the_picture_do_not_count() -> None:
    data = encode(Image.fromarray(ASYMMETRIC), "JPEG", comment=b"\xff\xda\0\2" * 1000)
    assert read_image(data + b"\xff\xda\0\2" * 100_000).shape == ASYMMETRIC.shape  # as behind a motion photo


def test_a_replaced_image_open_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import ultralytics.utils.patches as patches_of_ultralytics

    assert Image.open is patches_of_ultralytics.image_open, "ultralytics no longer replaces Image.open"
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("went through Image.open"))
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(ASYMMETRIC), "PNG")), ASYMMETRIC)
    with pytest.raises(DlkaError, match="save it as"):
        read_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))


def test_photographs_agree_with_another_decoder() -> None:
    import ultralytics

    for name in ("bus.jpg", "zidane.jpg"):
        path = Path(ultralytics.__file__).parent / "assets" / name
        other = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        got = read_image(path)
        assert got.shape == other.shape
        assert np.abs(got.astype(int) - other).max() <= 2


# Properties. Pillow warns about damaged EXIF blocks, which these make on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:(Corrupt EXIF|Truncated File|Metadata Warning)")

LOSSLESS = st.sampled_from([("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
TIFF_KINDS = st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])


@settings(deadline=None, max_examples=60)
@given(LOSSLESS, TIFF_KINDS, st.sampled_from(["1", "L", "RGB"]), *[st.integers(8, 40)] * 2, st.integers(0, 2**32 - 1))
def test_lossless_formats_give_back_every_pixel(
    kind: tuple[str, dict], compression: str | None, mode: str, height: int, width: int, seed: int
) -> None:
    name, options = kind
    if name == "TIFF":
        options = {"compression": compression}
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    np.testing.assert_array_equal(read_image(encode(picture, name, **options)), np.asarray(picture.convert("RGB")))


def _samples() -> list[bytes]:
    picture = Image.fromarray(ASYMMETRIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = [encode(picture, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")]
    out += [encode(picture, kind) for kind in ("GIF", "BMP")]
    out += [encode(picture, "TIFF", compression=c) for c in ("tiff_lzw", "jpeg")]
    out += [encode(picture, "JPEG", progressive=True), encode(picture.convert("CMYK"), "JPEG")]
    out += [encode(picture.quantize(8), "PNG", transparency=1), encode(picture.convert("F"), "TIFF")]
    out.append(encode(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]))
    return out


SAMPLES = _samples()


def reads_or_refuses(data: bytes) -> None:
    try:
        got = read_image(data)
    except DlkaError as error:
        sentence = str(error)
    else:
        sentence = "Read."
        assert got.ndim == 3
        assert got.shape[2] == 3
        assert got.dtype == np.uint8
    assert sentence.endswith(".")
    assert "\n" not in sentence


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([b"", *(sample[:16] for sample in SAMPLES)]), st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    reads_or_refuses(start + rest)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), st.floats(0, 1))
def test_truncated_files_are_read_or_refused(sample: bytes, share: float) -> None:
    reads_or_refuses(sample[: int(len(sample) * share)])


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from(SAMPLES))
def test_flipped_bits_are_read_or_refused(data: st.DataObject, sample: bytes) -> None:
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(sample) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "MAX_PIXELS", 2**20)  # a flipped size must not cost the test a 200 MB picture
        reads_or_refuses(bytes(changed))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_file_cut_in_the_middle_is_refused(sample: bytes) -> None:
    with pytest.raises(DlkaError):
        read_image(sample[: len(sample) // 2])


def test_names_of_pictures_are_files_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.webp", "odd[1].jpg", "._b.jpg", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert images.picture_files(["."]) == ["a.PNG", "b.jpg", "odd[1].jpg"]
    assert images.picture_files(["**/*.webp", "b.jpg", "not there.jpg"]) == ["deep/c.webp", "b.jpg", "not there.jpg"]
    assert images.picture_files(["odd[1].jpg"]) == ["odd[1].jpg"]
    (tmp_path / "empty").mkdir()
    for name in ("*.gif", "empty"):
        with pytest.raises(DlkaError, match="there are none"):
            images.picture_files([name])
