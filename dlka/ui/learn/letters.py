"""What the step "One letter, five sizes" shows: letters as the shipped reader names them."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np

from dlka import render
from dlka.drawn.letter_file import load_letter
from dlka.drawn.letters import SIDE, plain_letter
from dlka.drawn.shapes import LETTERS
from dlka.errors import DlkaError
from dlka.inference.kernel_shape import axis_spreads
from dlka.ui import files
from dlka.ui.guard import answering

SIZES = (8, 12, 17, 26, 40)  # px, from the least to the most that the reader learned
WAYS = ("own", "off", "another")
# The offsets of "another" are those of the letter so many places on: another letter, of another size.
AWAY = len(SIZES) + 2


@lru_cache(maxsize=1)
def five_sizes() -> dict[str, Any]:
    """JSON for the step's script.

    sizes: px; letters: their names; pictures: of every letter at every size, as addresses of PNGs of 48x48 px; grid:
    [K][x, y] in pixels; ways: for each of WAYS by letter and size the name that the net gives, its share 0..1, where
    the taps sample [K][x, y], and how wide they lie against the grid; bars: by reader the share of test pictures that
    it names, mean over seeds, as its card says; tested: on how many pictures, and how many seeds.
    """
    nets, card = load_letter()
    net = nets["deformable"]
    pictures = np.stack([plain_letter(letter, size) for letter in LETTERS for size in SIZES])
    own = net.read(pictures)
    seen = {
        "own": own,
        "off": net.read(pictures, strength=0.0),
        "another": net.read(pictures, offsets=np.roll(own.offsets, -AWAY, axis=0)),
    }
    ways: dict[str, dict[str, list[dict[str, Any]]]] = {way: {letter: [] for letter in LETTERS} for way in WAYS}
    for way, read in seen.items():
        wide = np.linalg.norm(axis_spreads(read.locations), axis=1) / np.linalg.norm(axis_spreads(read.grid))
        for number in range(len(pictures)):
            best = int(read.probabilities[number].argmax())
            ways[way][LETTERS[number // len(SIZES)]].append(
                {
                    "name": LETTERS[best],
                    "share": round(float(read.probabilities[number, best]), 3),
                    "samples": read.locations[number].round(2).tolist(),
                    "zoom": round(float(wide[number]), 2),
                }
            )
    # Grey pictures [H, W] as addresses of PNGs.
    addresses = [files.data_url(render.png(np.repeat(one[..., None], 3, axis=2)), "image/png") for one in pictures]
    figures = card.figures
    bars = {reader: float(np.mean([row["accuracy"] for row in rows])) for reader, rows in figures.items()}
    bars |= {way: float(np.mean([row[way] for row in figures["deformable"]])) for way in ("off", "another")}
    return {
        "sizes": SIZES,
        "letters": LETTERS,
        "pictures": {letter: addresses[i * len(SIZES) : (i + 1) * len(SIZES)] for i, letter in enumerate(LETTERS)},
        "grid": own.grid.round(2).tolist(),
        "ways": ways,
        "bars": {reader: round(share, 4) for reader, share in bars.items()},
        "tested": {"pictures": card.pictures, "seeds": len(figures["deformable"])},
    }


@answering
def read_letter(picture: str) -> dict[str, Any]:
    """What the deformable reader's kernel reads of a drawing, and all that names it from there, for the page's script.

    picture: base64 of 48x48 greys, row by row. maps: base64 of little-endian float32 [16, 12, 12]; offsets: [2K] in
    cells, dy and dx interleaved; weights: [16, K] of the kernel; linear, bias: [6, 16] and [6] of the layer behind it.
    """
    try:
        greys = np.frombuffer(base64.b64decode(picture, validate=True), np.uint8)
    except ValueError:
        greys = np.empty(0, np.uint8)
    if len(greys) != SIDE * SIDE:
        raise DlkaError(f"Picture: expected {SIDE} x {SIDE} greys in base64, got {len(picture)} characters.")
    net, drawn = load_letter()[0]["deformable"], greys.reshape(SIDE, SIDE)
    maps = net.map_of(drawn)
    return {
        "maps": base64.b64encode(maps.astype("<f4").tobytes()).decode(),
        "offsets": net.read(drawn[None].copy()).offsets[0].tolist(),
        "weights": net.deform_conv.weight.reshape(len(maps), -1).tolist(),
        "linear": net.linear.weight.tolist(),
        "bias": net.linear.bias.tolist(),
    }
