"""Small pictures of one letter each, for a kernel that names it from one cell; the same seed draws the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.drawn.shapes import LETTERS, Placed, placed

SIDE = 48  # px
MIDDLE = 25.5  # px: the middle of the cell that reads: the letter lies around it
AWAY = 0.5  # px from there, in each direction
SIZES = (8.0, 40.0)  # px
TURN = 60.0  # degrees to both sides
STRETCH = 1.6
GROUND = (30.0, 60.0)  # grey of what is behind the letter
CONTRAST = (130.0, 150.0)  # so much lighter is the letter
NOISE = (2.0, 10.0)  # standard deviation, in greys
QUARTERS = tuple(float(SIZES[0] * (SIZES[1] / SIZES[0]) ** (i / 4)) for i in range(5))  # px: as many letters in each
_TRIES = 1000


@dataclass(frozen=True)
class Letters:
    """Pictures [N, 48, 48] uint8, labels [N] int64 (places in LETTERS), and what was drawn into each."""

    pictures: np.ndarray
    labels: np.ndarray
    placed: tuple[Placed, ...]

    @property
    def sizes(self) -> np.ndarray:
        """[N] px."""
        return np.array([one.size for one in self.placed])

    @property
    def turns(self) -> np.ndarray:
        """[N] degrees, clockwise."""
        return np.array([one.turn for one in self.placed])


def draw_letters(count: int, seed: int) -> Letters:
    """The first so many pictures of this seed; more of them begin with the same."""
    drawn = [_draw_letter(np.random.default_rng([seed, number])) for number in range(count)]
    pictures = np.stack([picture for picture, _ in drawn])
    labels = np.array([LETTERS.index(one.name) for _, one in drawn], np.int64)
    return Letters(pictures, labels, tuple(one for _, one in drawn))


def plain_letter(name: str, size: float) -> np.ndarray:
    """A picture [48, 48] uint8 of one letter around the cell that reads, without noise, in the middle of all ranges.

    name: one of LETTERS, or another of SHAPES; size: px.
    """
    picture = np.full((SIDE, SIDE), round(sum(GROUND) / 2), np.uint8)
    one = Placed(name, size, 0.0, 1.0, (MIDDLE, MIDDLE), max(1.0, 0.12 * size))
    one.draw(picture, sum(GROUND) / 2 + sum(CONTRAST) / 2)
    return picture


def _draw_letter(draw: np.random.Generator) -> tuple[np.ndarray, Placed]:
    """A picture [48, 48] uint8 and its letter."""
    name = LETTERS[int(draw.integers(len(LETTERS)))]
    size = float(np.exp(draw.uniform(*np.log(SIZES))))
    ground = draw.uniform(*GROUND)
    picture = np.full((SIDE, SIDE), round(ground), np.uint8)
    one = _inside(draw, name, size)
    one.draw(picture, ground + draw.uniform(*CONTRAST))
    noise = draw.normal(0, draw.uniform(*NOISE), picture.shape)
    return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8), one


def _inside(draw: np.random.Generator, name: str, size: float) -> Placed:
    """A letter that lies in the picture: turn and stretch are drawn again until it does, which large ones need."""
    for _ in range(_TRIES):
        one = placed(draw, name, size, TURN, STRETCH, lambda: tuple(draw.uniform(MIDDLE - AWAY, MIDDLE + AWAY, 2)))
        x1, y1, x2, y2 = one.box()
        if min(x1, y1) >= 0 and max(x2, y2) <= SIDE:
            return one
    raise RuntimeError(f"no turn of a {name} of {size:.1f} px fits a picture of {SIDE} px")
