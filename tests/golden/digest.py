"""Short, JSON-ready digests of what a user gets: texts, JSON, arrays, pictures and files.

A digest holds a SHA-256, which says whether it is the same to the last bit, and a few numbers or a coarse picture,
which say whether it is the same for a reader. Times, dates, versions and paths are taken out before.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
GRID = 8  # cells of a coarse picture along each side
LONG = 400  # characters of a text that is stored whole
MANY = 6  # numbers of a list that are stored whole
ROWS = 2  # tables of more rows are stored as their first, their last, and a digest of all
# Keys of JSON whose values are another machine's or another minute's.
VOLATILE = {
    "milliseconds",
    "seconds",
    "versions",
    "version",
    "machine",
    "arithmetic",
    "device",
    "date",
    "time",
    "sizes_mb",
}
NORMALISED = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "DATE"),
    (re.compile(r"\b\d+\.\d+\.\d+(\.\w+)?(\+\w+)?\b"), "VERSION"),
    (re.compile(r"\b[\d.,]+ (ms|MB|GB)\b"), r"N \1"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "SERVER"),
    (re.compile(r"/[^\s\"'<>]*/gradio_api/file=[^\s\"'<>]*/"), "SERVED/"),
)
NUMBER = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b[0-9a-f]{12,}\b|[-+]?(?:\d[\d,]*\d|\d)(?:\.\d+)?(?:[eE][-+]?\d+)?")


def sha(data: bytes | str) -> str:
    """The first 12 digits of a SHA-256."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:12]


def normalised(text: str, *folders: Path) -> str:
    """A text without what another run, machine or folder changes. folders: called DIR in it."""
    for name, folder in (*(("DIR", f) for f in folders), ("ROOT", ROOT), *_packages()):
        text = text.replace(str(folder), name)
    for pattern, word in NORMALISED:
        text = pattern.sub(word, text)
    return text


def numbers_in(text: str) -> tuple[str, list[str]]:
    """A text with its numbers replaced by #, and the numbers as they stand there. Colours and hashes are words."""
    found: list[str] = []

    def take(match: re.Match[str]) -> str:
        word = match[0]
        if word.startswith("#") or re.fullmatch(r"[0-9a-f]{12,}", word):
            return word
        found.append(word.replace(",", ""))
        return "#"

    return re.sub(r"\s+", " ", NUMBER.sub(take, text)), found


def text(value: str, longest: int = LONG) -> Any:
    """A text whole where it is short, as lines where it has several; of a long one the digest."""
    if len(value) <= longest:
        lines = value.splitlines()
        return lines if len(lines) > 1 else value
    words, found = numbers_in(value)
    values = np.array([float(n) for n in found]) if found else np.zeros(0)
    start = " ".join(value.split())[:40].replace(" | ", " ")
    hashes = f"{sha(value)} | {sha(words)}"
    return f"text: {value.count(chr(10)) + 1} lines | {hashes} | {len(found)} | {_summary(values)} | {start}"


def array(values: np.ndarray) -> str:
    """dtype, shape, SHA-256 of the values rounded to 1e-4, and some of them."""
    values = np.asarray(values)
    kind = f"array: {values.dtype} | {'x'.join(map(str, values.shape)) or 'scalar'}"
    if values.dtype.kind not in "fiub":
        return f"{kind} | {sha(repr(values.tolist()))} | "
    rounded = np.round(values.astype(np.float64), 4) + 0.0 if values.dtype.kind == "f" else values
    return f"{kind} | {sha(np.ascontiguousarray(rounded).tobytes())} | {_summary(values)}"


def _summary(values: np.ndarray) -> str:
    """min, max, mean, standard deviation, and four values from equally far places, with five digits."""
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.abs(flat) < 1e12]  # without NaN, infinity, and what is no number but a piece of a hash
    if not flat.size:
        return ""
    some = flat[np.linspace(0, flat.size - 1, 4).round().astype(int)] if flat.size > 4 else flat
    return " ".join(f"{v:.5g}" for v in (flat.min(), flat.max(), flat.mean(), flat.std(), *some))


def pixels(data: bytes) -> str:
    """A picture's size, the SHA-256 of its decoded pixels, and the mean and spread of colours in GRID x GRID cells."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    height, width = image.shape[:2]
    colours = image.reshape(height, width, -1)[..., :3].astype(np.float32)
    rows, columns = (np.linspace(0, side, GRID + 1).astype(int) for side in (height, width))
    cells = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = colours[top : max(bottom, top + 1), left : max(right, left + 1)]
            cells.append([*cell.mean((0, 1)), cell.mean(2).std()])
    grid = np.clip(np.round(cells), 0, 255).astype(np.uint8)
    size, cells = f"{width}x{height}x{colours.shape[2]}", base64.b64encode(zlib.compress(grid.tobytes(), 9)).decode()
    return f"pixels: {size} | {sha(np.ascontiguousarray(image).tobytes())} | {cells}"


def parts(digest: str) -> tuple[str, list[str]]:
    """What a digest is of, and its parts: of an array dtype, shape, hash and numbers; of pixels size, hash and grid; of
    a text lines, hash, hash of its words, how many numbers, some of them, and how it starts; of bytes a size."""
    kind, _, rest = digest.partition(": ")
    return (kind, [part.strip() for part in f"{rest} ".split(" | ")]) if kind in KINDS else ("", [])


KINDS = ("array", "pixels", "text", "bytes")


def grid_of(cells: str) -> np.ndarray:
    """The coarse picture [GRID, GRID, C + 1] of a digest's last part, as int."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(cells)), np.uint8)
    return values.reshape(GRID, GRID, -1).astype(int)


def value(given: Any, *folders: Path) -> Any:
    """JSON with short texts and numbers as they are, long texts and lists of numbers as digests."""
    if isinstance(given, dict) and set(given) == {"dtype", "shape", "sha256"}:  # of an array in a recipe
        return f"{given['dtype']} {given['shape']}"
    if isinstance(given, dict) and "orig_name" in given:  # gradio's word for a file
        return {"file": given["orig_name"]}
    if isinstance(given, dict):
        return {
            str(k): value(v, *folders) for k, v in given.items() if k not in VOLATILE and not str(k).endswith("_ms")
        }
    if isinstance(given, list | tuple):
        try:
            numbers = np.array(given)
        except ValueError:  # lists of different lengths
            numbers = np.array(None)
        if numbers.dtype.kind in "fiub" and numbers.size > MANY:
            return array(numbers)
        rows = [value(v, *folders) for v in given]
        if len(rows) > ROWS and all(isinstance(v, dict) for v in rows):
            return {"rows": len(rows), "first": rows[0], "last": rows[-1], "all": text(json.dumps(rows, indent=0), 0)}
        return rows
    if isinstance(given, float):
        return float(f"{given:.6g}")
    return text(normalised(given, *folders)) if isinstance(given, str) else given


def file(path: Path, *folders: Path, name: str = "") -> Any:
    """The digest of a file, by the ending of its name; of an archive of a model only its size."""
    data, ending = path.read_bytes(), Path(name or path).suffix
    if ending in (".png", ".jpg"):
        return pixels(data)
    if ending == ".npz":
        return npz(data)
    if ending == ".pdf":
        return pdf(data)
    if ending == ".safetensors":
        return safetensors(data, *folders)
    if ending == ".json":
        return value(json.loads(data), *folders)
    if ending == ".svg":
        return svg(data)
    if ending == ".md":
        return sections(normalised(data.decode(), *folders))
    if ending == ".html":
        return svg(data)
    if ending in (".txt", ".csv", ".yaml"):
        return text(normalised(data.decode(), *folders))
    return f"bytes: {len(data) / 1000:.1f} kB"


def npz(data: bytes) -> dict[str, Any]:
    """The digests of all arrays of an .npz file by name."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: array(arrays[name]) for name in arrays.files}


def svg(data: bytes) -> Any:
    """The digest of the text of a drawing or a page, with pictures in it as the digests of their pixels."""

    def inner(match: re.Match[str]) -> str:
        return parts(pixels(base64.b64decode(match[1])))[1][1]

    drawing = re.sub(r"data:image/\w+;base64,\s*([A-Za-z0-9+/=\s]+)", inner, data.decode())
    return text(normalised(drawing), 0)


def pdf(data: bytes) -> dict[str, Any]:
    """Of a PDF: its pages' size, its drawing commands and its words about itself; pictures and fonts as one hash."""
    about = re.sub(rb"/(CreationDate|ModDate|Producer|Creator) ?\([^)]*\)", b"", data)
    drawing, binary = [], []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", about, re.DOTALL):
        with suppress(zlib.error):
            stream = zlib.decompress(stream)
        (drawing if stream.isascii() else binary).append(stream)
    boxes = [b.decode() for b in re.findall(rb"/MediaBox ?\[([^\]]*)\]", about)]
    return {
        "pages": value(boxes),
        "drawing": text("\n".join(s.decode() for s in drawing), 0),
        "binary": sha(b"".join(binary)),
    }


def safetensors(data: bytes, *folders: Path) -> dict[str, Any]:
    """Names and shapes of a weights file's tensors, all their values, and what is written in it beside them."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = header.pop("__metadata__", {})
    shapes = sorted(f"{name} {v['dtype']} {v['shape']}" for name, v in header.items())
    floats = [
        np.frombuffer(data[8 + length + v["data_offsets"][0] : 8 + length + v["data_offsets"][1]], np.float32)
        for v in header.values()
        if v["dtype"] == "F32"
    ]
    return {
        "tensors": len(shapes),
        "shapes": sha("\n".join(shapes)),
        "values": array(np.concatenate(floats)) if floats else "",
        "about": {name: value(_parsed(v), *folders) for name, v in sorted(about.items())},
    }


def sections(markdown: str) -> dict[str, Any]:
    """The digests of a text's parts by their headings."""
    found: dict[str, Any] = {}
    for part in re.split(r"(?m)^(?=#{1,4} )", markdown):
        heading = name = part.split("\n", 1)[0].strip() or "(before the first heading)"
        number = 1
        while name in found:
            number += 1
            name = f"{heading} ({number})"
        found[name] = text(part)
    return found


def _parsed(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return written


def _packages() -> list[tuple[str, Path]]:
    return [("PACKAGES", Path(np.__file__).resolve().parent.parent)]
