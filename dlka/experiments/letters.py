"""The experiment with letters: a deformable kernel and its twins, trained and measured over seeds, in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlka.analysis.bootstrap import interval, resamples
from dlka.drawn import letter_net, letters
from dlka.drawn.letter_file import TWINS, LetterCard, save_letter
from dlka.drawn.letter_net import PICTURES, READERS, STEPS, LetterNet
from dlka.drawn.letters import QUARTERS, SIDE, Letters, draw_letters, plain_letter
from dlka.drawn.shapes import LETTERS
from dlka.errors import DlkaError
from dlka.experiments.following import rank_correlation, rounded
from dlka.experiments.uses import rho
from dlka.experiments.words import points
from dlka.inference.kernel_shape import kernel_shape, spread
from dlka.versions import versions

MEASURED = 2000  # pictures, the same for every net
MEASURED_SEED = 3_000_000  # trainings take their own seed for their pictures; 1,000,000 chose the design
E_SIZES = (8, 17, 40)  # px
PACKAGES = ("torch", "numba", "numpy", "opencv-python")


def train_letters(
    out: str | Path,
    seeds: int = 3,
    steps: int = STEPS,
    pictures: int = PICTURES,
    measured: int = MEASURED,
    report: Callable[[str], None] = lambda line: None,
) -> LetterCard:
    """Train every reader with seeds 0, 1, ..., measure all, and write the nets of seed 0 with the card.

    steps, pictures, measured: of a training, drawn for it, and drawn to measure. report is told of every net.
    Raises DlkaError for a name that is no file's to be, before anything is trained.
    """
    out = Path(out)
    if out.suffix != ".safetensors" or out.is_dir() or not out.parent.is_dir():
        raise DlkaError(f"{out}: expected a name that ends in .safetensors, in a folder that is there.")
    if seeds < 1:
        raise DlkaError(f"seeds: expected at least 1, got {seeds}.")
    shown = draw_letters(measured, MEASURED_SEED)
    first: dict[str, LetterNet] = {}
    figures: dict[str, list[dict[str, Any]]] = {reader: [] for reader in READERS}
    right: dict[str, list[np.ndarray]] = {reader: [] for reader in READERS}
    for seed in range(seeds):
        own = draw_letters(pictures, seed)
        for reader in READERS:
            net = letter_net.train_letter(reader, own, seed, steps)
            first.setdefault(reader, net)
            figures[reader].append(measure(net, shown))
            right[reader].append(named(net, shown))
            report(f"{reader}, seed {seed}: {100 * figures[reader][-1]['accuracy']:.1f} %")
    leads: dict[str, Any] = {}
    for twin in TWINS:  # accuracy above the twin's, mean over seeds, and its 95 % interval over pictures
        difference = np.mean(right["deformable"], axis=0) - np.mean(right[twin], axis=0)  # [N]
        drawn = resamples(len(difference)) @ difference / len(difference)
        leads[twin] = [rounded(value) for value in (difference.mean(), *interval(drawn))]
    card = LetterCard(
        what=f"A net that names one of {', '.join(LETTERS)} from one cell of a map, read through one 5x5 kernel: "
        "deformable, rigid with the outputs of the same offset net as features, and rigid with dilation 1, 2 and 3.",
        data=f"Drawn by the project: {SIDE}x{SIDE} grey pictures of one letter of {letters.SIZES[0]:g} to "
        f"{letters.SIZES[1]:g} px, light on dark, around the cell that reads, turned by up to {letters.TURN:g} degrees"
        f", stretched by up to {letters.STRETCH:g}, with noise; turns that would leave the picture are drawn again.",
        recipe=f"{pictures} pictures a seed, {steps} steps of {letter_net.BATCH}, AdamW, one cycle up to "
        f"{letter_net.RATE:g}, {letter_net.OFFSET_RATE:g} for offset nets, which start at zero.",
        licence="AGPL-3.0",
        caveats=_caveats(figures, leads),
        versions=versions(PACKAGES),
        seed=0,
        pictures=measured,
        quarters=[round(edge, 2) for edge in QUARTERS],
        figures=figures,
        leads=leads,
    )
    save_letter(out, first, card)
    return card


def named(net: LetterNet, shown: Letters, **changed: Any) -> np.ndarray:
    """[N] bool: whether the letter of each picture was named. changed: strength or offsets, as in LetterNet.read."""
    return net.read(shown.pictures, **changed).probabilities.argmax(axis=1) == shown.labels


def measure(net: LetterNet, shown: Letters) -> dict[str, Any]:
    """A row of LetterCard.figures."""
    seen = net.read(shown.pictures)
    right = seen.probabilities.argmax(axis=1) == shown.labels
    quarter = np.digitize(shown.sizes, QUARTERS[1:-1])
    row: dict[str, Any] = {"parameters": sum(value.numel() for value in net.parameters())}
    row |= {"accuracy": rounded(right.mean()), "by_size": _by(quarter, right)}
    if net.reader != "deformable":
        return row
    mean = np.broadcast_to(seen.offsets.mean(axis=0), seen.offsets.shape)
    row["off"] = rounded(named(net, shown, strength=0.0).mean())
    row["another"] = rounded(named(net, shown, offsets=np.roll(seen.offsets, 1, axis=0)).mean())
    row["mean_field"] = rounded(named(net, shown, offsets=mean).mean())
    spreads = _spreads(seen.locations, seen.grid)
    # [K, 2, N] (y, x), as kernel_shape has them
    turned = kernel_shape(seen.grid[:, ::-1], seen.locations[..., ::-1].transpose(1, 2, 0)).rotation
    weights = resamples(len(shown.labels)).astype(np.float64)
    for name, kernel, letter in (("size_rho", spreads, shown.sizes), ("turn_rho", turned, shown.turns)):
        row[name] = rounded(rank_correlation(kernel, letter, np.ones((1, len(letter))))[0])
        row[f"{name}_95"] = [rounded(end) for end in interval(rank_correlation(kernel, letter, weights))]
    row["spread_by_size"] = _by(quarter, spreads)
    row["outside_by_size"] = _by(quarter, ((seen.locations < 0) | (seen.locations > SIDE - 1)).any(axis=2).mean(axis=1))
    e = net.read(np.stack([plain_letter("E", size) for size in E_SIZES]))
    row["spread_of_e"] = [rounded(value) for value in _spreads(e.locations, e.grid)]
    return row


def accuracy_rows(card: LetterCard) -> list[dict[str, Any]]:
    """A row a reader: per cent of letters named, mean over seeds by size, and of all sizes each seed's."""
    edges = [f"{low:.0f}-{high:.0f} px" for low, high in zip(card.quarters, card.quarters[1:])]
    rows = []
    for reader, seeds in card.figures.items():
        mean = np.mean([row["by_size"] for row in seeds], axis=0)
        lead = "" if reader == "deformable" else points(card.leads[reader][0], card.leads[reader][1:])
        rows.append(
            {"named, %": reader, "parameters": seeds[0]["parameters"]}
            | {edge: f"{100 * value:.1f}" for edge, value in zip(edges, mean)}
            | {"all sizes, each seed": ", ".join(f"{100 * row['accuracy']:.1f}" for row in seeds)}
            | {"deformable - it": lead}
        )
    return rows


def offset_rows(card: LetterCard) -> list[dict[str, Any]]:
    """A row a seed of the deformable reader: without its own offsets, and what its samples follow."""
    return [
        {
            "seed": str(seed),
            "offsets off, %": f"{100 * row['off']:.1f}",
            "another picture's": f"{100 * row['another']:.1f}",
            "mean field": f"{100 * row['mean_field']:.1f}",
            "rho, spread and size": rho(row, "size_rho"),
            "rho, rotation and turn": rho(row, "turn_rho"),
            "spread/grid by size": ", ".join(f"{value:.2f}" for value in row["spread_by_size"]),
            f"of an E of {', '.join(map(str, E_SIZES))} px": ", ".join(f"{value:.2f}" for value in row["spread_of_e"]),
        }
        for seed, row in enumerate(card.figures["deformable"])
    ]


def _caveats(figures: dict[str, list[dict[str, Any]]], leads: dict[str, list[float]]) -> list[str]:
    """What the figures do not say by themselves, with the figures in them."""
    rows = figures["deformable"]
    turns = ", ".join(f"{row['turn_rho']:+.2f}" for row in rows)
    outside = ", ".join(f"{100 * row['outside_by_size'][-1]:.0f} %" for row in rows)
    rigid = min((twin for twin in TWINS if twin != "features"), key=lambda twin: leads[twin][0])
    to_rigid, to_features = (points(leads[twin][0], leads[twin][1:]) for twin in (rigid, "features"))
    return [
        "Samples follow size and hardly turn: the rank correlation of the kernel's rotation with the letter's turn is "
        f"{turns}.",
        f"The deformable kernel names {to_rigid} points more than the best rigid one ({rigid}), which has fewer "
        f"parameters, and {to_features} more than the same offset net whose outputs go on as plain features, where "
        "nothing moves: the rest is what that net knows, not where it looks. Seeds are few; the intervals are over "
        "pictures.",
        "That accuracy falls without its own offsets says that this net needs them, not that the task does.",
        f"Every letter lies around the cell that reads ({letter_net.STRIDE} px wide), and is light on dark. Of the "
        f"samples {outside} lie outside the picture, where they read zero, in the quarter of the largest letters.",
    ]


def _spreads(locations: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Spread of taps [N, K, 2] over that of the grid [K, 2]: [N]."""
    return np.array([spread(places) for places in locations]) / spread(grid)


def _by(quarter: np.ndarray, values: np.ndarray) -> list[float | None]:
    """Means of values [N] in each of the four quarters [N]."""
    return [rounded(values[quarter == q].mean()) for q in range(len(QUARTERS) - 1)]
