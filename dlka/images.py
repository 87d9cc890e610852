"""The one decoder: bytes or a path -> upright RGB uint8 [H, W, 3], or a refusal in one sentence.

Pillow's format classes are opened directly instead of through ``PIL.Image.open``: the allow-list is then a
table in this file, and libraries that replace ``Image.open`` for the process change nothing here.
Colours are taken as stored; embedded ICC profiles are not applied. This file imports nothing of the project.
"""

from __future__ import annotations

import glob
import io
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dlka.errors import DlkaError

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000
MIN_SIDE = 8
WHITES = tuple(2.0**bits - 1 for bits in (8, 10, 12, 16))
MAX_SCANS = 64  # of a JPEG; each pass costs a whole picture's time, and cameras and editors use about ten

# What a file of each format starts with, and the class that reads it. None of them runs another program, or installs a
# package for a file that is no picture, as Image.open does where Ultralytics has replaced it.
READERS: dict[str, tuple[re.Pattern[bytes], Callable[[IO[bytes]], ImageFile.ImageFile]]] = {
    "JPEG": (re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    "PNG": (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    "WebP": (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
    "AVIF": (re.compile(rb"....ftyp.{0,60}avi[fs]", re.DOTALL), AvifImagePlugin.AvifImageFile),
    "GIF": (re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
    "TIFF": (re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImagePlugin.TiffImageFile),
    "BMP": (re.compile(rb"BM"), BmpImagePlugin.BmpImageFile),
}
FORMATS = tuple(READERS)
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp")  # that a folder is searched for

_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # of a JPEG segment; the others occur inside pixel data

# EXIF orientation -> what brings the stored rows and columns upright.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


class UnknownFormat(DlkaError):
    """What a file holds is in none of FORMATS."""


def picture_files(names: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Files of pictures by their names: a folder stands for the pictures in it that are not hidden, a pattern
    (street-*.jpg, **/*.png) for what it matches, both by name; any other name for itself. Raises DlkaError where a
    folder or a pattern has none."""
    files: list[str] = []
    for name in (os.fspath(name) for name in names):
        if os.path.isdir(name):
            shown = (path for path in Path(name).iterdir() if not path.name.startswith("."))  # ._a.jpg is a Mac's
            found = [str(path) for path in shown if path.suffix.lower() in ENDINGS]
        elif os.path.exists(name) or not glob.has_magic(name):
            found = [name]
        else:
            found = [path for path in glob.glob(name, recursive=True) if os.path.isfile(path)]
        if not found:
            raise DlkaError(f"{name!r:.200}: expected pictures ({', '.join(ENDINGS)}); there are none.")
        files += sorted(found)
    return files


def read_image(source: bytes | str | os.PathLike[str]) -> np.ndarray:
    """Decode a picture, given as the bytes of a file or as a path.

    Returns upright RGB [H, W, 3] uint8, C-contiguous and writable.

    EXIF orientation is applied once. Transparency is laid on white. Of animations and multi-page files the first
    frame is taken. Deeper grey becomes 8 bits by ``round(255 * v / white)``: white is the format's greatest value for
    unsigned integers up to 16 bits; signed and 32-bit integers that fit 0..65535 are taken as 16-bit values; all other
    integers and floats have no natural black and white and are stretched from their least to their greatest value.
    The white of 16-bit values is the least of WHITES that none exceeds: cameras of 10 or 12 bits do not tell theirs.

    Raises DlkaError, and nothing else, for whatever cannot be used: no or no regular file, over MAX_BYTES, a format
    not in FORMATS, sides under MIN_SIDE or over MAX_SIDE, over MAX_PIXELS (all told from the header, before pixels are
    decoded), values that are not finite, damaged or truncated files.
    """
    data = _read(source)
    name = next((name for name, (start, _) in READERS.items() if start.match(data)), None)
    if name is None:
        raise UnknownFormat(f"The file is not in a format that is read here: save it as one of {', '.join(FORMATS)}.")
    try:
        if name == "JPEG":
            _check_scans(data)
        image = READERS[name][1](io.BytesIO(data))
        _check_size(*image.size)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            _read_ycbcr_by_libtiff(image)
        return rgb_of(image)
    except DlkaError:
        raise
    except MemoryError as error:
        raise DlkaError("There is not enough free memory to decode the picture: send a smaller one.") from error
    except Exception as error:  # decoders raise almost anything on damaged files
        raise DlkaError(
            f"The file starts like a {name} picture but is damaged, incomplete or of a rare kind: save it again."
        ) from error


def rgb_of(image: Image.Image) -> np.ndarray:
    """Upright RGB [H, W, 3] uint8 of a picture that Pillow has opened, by the rules of read_image but of any size.

    Raises what Pillow raises where the pixels behind the header are damaged.
    """
    image.load()
    pixels = _rgb(image)
    # After load(), because TIFF turns itself while loading and PNG may keep EXIF behind the pixels.
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the EXIF block is damaged, the pixels are good: show the picture as stored, as browsers do
        orientation = 1
    return _UPRIGHT.get(orientation, lambda a: a)(pixels).copy(order="C")


def _read(source: bytes | str | os.PathLike[str]) -> bytes:
    """The bytes of the file, never more than MAX_BYTES + 1 of them."""
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | os.PathLike):
        shown = repr(os.fspath(source))
        try:
            mode = os.stat(source).st_mode
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = getattr(error, "strerror", None) or "not a usable path"
            raise DlkaError(f"The picture file {shown} cannot be opened: {reason}.") from error
        if not stat.S_ISREG(mode):  # before opening: a named pipe would wait for its writer
            raise DlkaError(f"Expected a picture file, got a folder or device: {shown}.")
        try:
            with open(source, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise DlkaError(f"The picture file {shown} cannot be opened: {error.strerror}.") from error
    else:
        raise DlkaError(f"Expected the bytes of a picture file or a path to one, got {type(source).__name__}.")
    if len(data) > MAX_BYTES:
        raise DlkaError(f"The file is larger than {MAX_BYTES / 2**20:g} MB: send a smaller or more compressed picture.")
    if not data:
        raise DlkaError("The file is empty: expected a picture.")
    return data


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise DlkaError(f"The picture is {width} x {height} pixels: each side must have at least {MIN_SIDE}.")
    if max(width, height) > MAX_SIDE:
        raise DlkaError(f"The picture is {width} x {height} pixels: each side may have at most {MAX_SIDE}.")
    if width * height > MAX_PIXELS:
        raise DlkaError(
            f"The picture is {width} x {height}, {width * height / 1e6:.1f} million pixels: "
            f"at most {MAX_PIXELS / 1e6:g} million are read, so make it smaller."
        )


def _read_ycbcr_by_libtiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Pillow's own reader takes the bytes of an uncompressed YCbCr TIFF for RGBX; libtiff knows what they are."""
    if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 6 and image.tile[0].codec_name == "raw":
        arguments = ("RGBX", "raw", False, image.tag_v2._offset)
        image.tile = [ImageFile._Tile("libtiff", (0, 0, *image.size), 0, arguments)]
        image.use_load_libtiff = True


def _rgb(image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of a loaded picture in any of Pillow's modes, as stored (not turned)."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_grey(image)[..., None], 3, axis=2)
    if image.mode == "LAB":  # Pillow's convert() cannot do this one
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return np.asarray(ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB"))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey(image: Image.Image) -> np.ndarray:
    """[H, W] uint8 of a grey picture with more than 8 bits, by the rule in read_image."""
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise DlkaError("The picture has values that are not finite (NaN or infinite): replace them and save it again.")
    clear = values == image.info["transparency"] if "transparency" in image.info else None  # one value of a 16-bit PNG
    if image.mode.startswith("I;16"):
        black, white = 0.0, 2.0 ** tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 1
    else:
        if image.mode == "I" and tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)) == (1,):
            values %= 2.0**32  # Pillow reads unsigned 32-bit integers as signed ones
        black, white = float(values.min()), float(values.max())
        if image.mode == "I" and black >= 0 and white <= 65535:
            black, white = 0.0, 65535.0
    if white == 65535:
        greatest = (values if clear is None else values[~clear]).max(initial=0)
        white = next(white for white in WHITES if greatest <= white)
    values -= black
    values *= 255 / ((white - black) or 1)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        np.subtract(255, values, out=values)
    grey = np.rint(values, out=values).astype(np.uint8)
    if clear is not None:
        grey[clear] = 255
    return grey


def _check_scans(data: bytes) -> None:
    """Count the passes of a JPEG up to its end: a small file with endless ones keeps a decoder busy for minutes."""
    position = scans = 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)) and marker.group() != b"\xff\xd9":
        alone = marker.group() == b"\xff\xd8"  # start of image: the only other marker without a length
        position = marker.end() + (0 if alone else max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big")))
        scans += marker.group() == b"\xff\xda"
    if scans > MAX_SCANS:
        raise DlkaError(f"The JPEG picture has more than {MAX_SCANS} passes: save it again as an ordinary JPEG.")
