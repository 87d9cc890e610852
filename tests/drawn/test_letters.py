"""Letters for a kernel that names them, the nets that read them, and the file that ships."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dlka.cli import main
from dlka.drawn import letter_file
from dlka.drawn.letter_file import FORMAT, load_letter, save_letter
from dlka.drawn.letter_net import CHANNELS, MAP, READERS, STEP, STRIDE, TAPS, LetterNet, train_letter
from dlka.drawn.letters import AWAY, MIDDLE, QUARTERS, SIDE, SIZES, draw_letters, plain_letter
from dlka.drawn.shapes import LETTERS
from dlka.errors import DlkaError
from dlka.experiments import letters as experiment
from dlka.inference.kernel_shape import spread
from dlka.models import catalog
from dlka.models.weights import NO_MODELS
from dlka.ops.sampling import cell_to_pixel

MANY = draw_letters(400, 7)


@pytest.fixture(scope="module")
def shipped():
    return load_letter()


@pytest.fixture
def stirred():
    """A net of every reader whose offset net gives more than zeros."""
    torch.manual_seed(0)
    nets = {reader: LetterNet(reader).eval().requires_grad_(False) for reader in READERS}
    for reader in ("deformable", "features"):
        torch.nn.init.normal_(nets[reader].offset_net.weight, std=0.2)
    return nets


def test_the_same_seed_draws_the_same_and_more_begin_alike():
    again = draw_letters(20, 7)
    np.testing.assert_array_equal(again.pictures, MANY.pictures[:20])
    np.testing.assert_array_equal(again.labels, MANY.labels[:20])
    assert not np.array_equal(draw_letters(20, 8).pictures, again.pictures)


def test_letters_lie_inside_around_the_cell_that_reads():
    assert MANY.pictures.shape == (400, SIDE, SIDE)
    assert MANY.pictures.dtype == np.uint8
    assert set(MANY.labels) == set(range(6))
    assert cell_to_pixel(np.array(float(STEP)), STRIDE) == MIDDLE
    for one, label in zip(MANY.placed, MANY.labels):
        x1, y1, x2, y2 = one.box()
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= SIDE
        assert np.abs(np.array(one.middle) - MIDDLE).max() <= AWAY
        assert SIZES[0] <= one.size <= SIZES[1]
        assert one.name == LETTERS[label]
    shares = np.histogram(MANY.sizes, QUARTERS)[0] / 400
    assert shares.min() > 0.2


@pytest.mark.parametrize("reader", READERS)
def test_nets_give_what_the_reference_gives(stirred, reader):
    net = stirred[reader]
    fast = net.read(MANY.pictures[:8], strength=1.5)
    net.backend = "reference"
    slow = net.read(MANY.pictures[:8], strength=1.5)
    np.testing.assert_allclose(fast.probabilities, slow.probabilities, atol=1e-5)
    assert (np.abs(fast.offsets).max() > 0.1) == (reader == "deformable")


def test_the_cell_reads_where_the_readings_say(stirred):
    """The reading of one tap is the map at its location: a map with one bright cell, found by moving a tap onto it."""
    net = stirred["deformable"]
    offsets = np.zeros((1, 2 * TAPS), np.float32)
    offsets[0, 2 * 7], offsets[0, 2 * 7 + 1] = 3.0, -1.0  # the tap at (-1, 0) of five by five, that is (-2, 0) cells
    at = net.read(MANY.pictures[:1], offsets=offsets).locations[0, 7]  # (x, y) in px
    np.testing.assert_allclose(at, cell_to_pixel(np.array([STEP - 1.0, STEP + 1.0]), STRIDE))
    maps = torch.zeros(1, CHANNELS, MAP, MAP)
    maps[0, :, STEP + 1, STEP - 1] = 1.0
    field = torch.from_numpy(offsets)[:, :, None, None].repeat(1, 1, 2, 2)
    weight = torch.zeros(CHANNELS, 1, 5, 5)
    weight[:, 0, 1, 2] = 1.0  # tap 7
    net.deform_conv.weight.copy_(weight)
    torch.testing.assert_close(net.scores(maps, field), net.linear(torch.ones(1, CHANNELS)))


def test_strength_and_given_offsets(stirred):
    net, pictures = stirred["deformable"], MANY.pictures[:5]
    own, off, twice = (net.read(pictures, strength=s) for s in (1.0, 0.0, 2.0))
    np.testing.assert_array_equal(off.offsets, 0)
    np.testing.assert_allclose(off.locations, np.broadcast_to(own.grid, off.locations.shape))
    np.testing.assert_allclose(twice.locations - own.grid, 2 * (own.locations - own.grid), rtol=1e-5, atol=1e-5)
    assert spread(own.grid) == pytest.approx(STRIDE * 4)  # two steps of 2 cells to each side, of five: sqrt(8 + 8)
    given = net.read(pictures, offsets=own.offsets)
    np.testing.assert_allclose(given.probabilities, own.probabilities, atol=1e-6)
    np.testing.assert_allclose(own.probabilities.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected offsets \(5, 50\), got \(5, 49\)"):
        net.read(pictures, offsets=own.offsets[:, 1:])
    with pytest.raises(ValueError, match=r"expected pictures \[N, 48, 48\] uint8, got \(48, 48\) uint8"):
        net.read(pictures[0])
    rigid = stirred["rigid-3"]
    np.testing.assert_array_equal(rigid.read(pictures).probabilities, rigid.read(pictures, 0.0).probabilities)


@pytest.mark.slow
def test_a_short_training_learns_and_repeats_itself():
    letters = draw_letters(600, 0)
    net, again = (train_letter("deformable", letters, 0, steps=40) for _ in range(2))
    assert experiment.named(net, MANY).mean() > 0.5  # chance is a sixth
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[key], rtol=0, atol=0)
    assert np.abs(net.read(MANY.pictures).offsets).max() > 0.1


@pytest.mark.slow
def test_the_figures_in_the_card_are_those_of_the_file(shipped):
    """Letters that ship are measured again: all of them, as it takes seconds."""
    nets, card = shipped
    assert card.pictures == experiment.MEASURED
    shown = draw_letters(card.pictures, experiment.MEASURED_SEED)
    for reader, net in nets.items():
        measured, stored = experiment.measure(net, shown), card.figures[reader][card.seed]
        assert set(measured) == set(stored)
        for name, value in measured.items():  # of 2,000 letters a few are a matter of rounding
            np.testing.assert_allclose(value, stored[name], atol=0.005, err_msg=f"{reader}: {name}")


def test_what_ships_adapts_to_size_and_needs_its_offsets(shipped):
    nets, card = shipped
    for row in card.figures["deformable"]:
        assert row["size_rho_95"][0] > 0.85
        assert row["accuracy"] - max(row["off"], row["another"], row["mean_field"]) > 0.3
    assert card.leads["features"][1] > 0
    seen = nets["deformable"].read(np.stack([plain_letter("E", size) for size in (8, 17, 40)]))
    small, middle, large = (spread(places) / spread(seen.grid) for places in seen.locations)
    assert small < middle < large / 1.5
    assert letter_file.SHIPPED.stat().st_size < 300_000


def test_the_tables_of_the_readme_are_the_cards(shipped):
    _, card = shipped
    text = (letter_file.SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    for row in [*experiment.accuracy_rows(card), *experiment.offset_rows(card)]:
        cells = [f"{value:,}" if isinstance(value, int) else value for value in row.values()]
        assert f"| {' | '.join(cells)} |" in text
    assert all(f"- {caveat}" in text for caveat in card.caveats)


def test_a_file_gives_back_what_was_written(shipped, tmp_path, stirred):
    _, card = shipped
    changed = replace(card, caveats=["one — with a dash"], seed=3)
    save_letter(tmp_path / "mine.safetensors", stirred, changed)
    nets, read = load_letter(tmp_path / "mine.safetensors")
    assert read == changed
    for reader, net in nets.items():
        assert net.reader == reader
        before, after = (n.read(MANY.pictures[:3]).probabilities for n in (stirred[reader], net))
        np.testing.assert_array_equal(before, after)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda t, m: m.update(format="dlka-1"), "(format dlka-letter-1), got format 'dlka-1'"),
        (lambda t, m: m.pop("format"), "got format None"),
        (lambda t, m: t.pop("rigid-1.conv1.bias"), "1 tensors are missing and 0 do not belong (rigid-1.conv1.bias)"),
        (lambda t, m: t.update(odd=torch.zeros(1)), "0 tensors are missing and 1 do not belong (odd)"),
        (
            lambda t, m: t.update({"features.linear.bias": torch.zeros(7)}),
            "features.linear.bias should be [6] F32, is [7] F32",
        ),
        (lambda t, m: t.update({"features.linear.bias": torch.zeros(6).half()}), "should be [6] F32, is [6] F16"),
        (lambda t, m: t.update({"features.linear.bias": torch.full((6,), np.nan)}), "not finite"),
        (lambda t, m: m.update(card="{"), "its card cannot be used"),
        (lambda t, m: m.update(card="[" * 100_000), "its card cannot be used"),
        (lambda t, m: m.update(card="{}"), "its card cannot be used (card.what: Field required"),
        (lambda t, m: edit(m, "caveats", [1]), "card.caveats.0: Input should be a valid string, got 1"),
        (lambda t, m: edit(m, "quarters", [1, 2]), "card.quarters: List should have at least 5 items"),
        (lambda t, m: edit(m, "leads", {}), "leads should have three numbers for each of features, rigid-1"),
        (lambda t, m: edit(m, "figures", {}), "figures should be of deformable, features"),
        (
            lambda t, m: edit(m, "figures", {key: [{}] for key in READERS}),
            "should be rows of parameters, accuracy, by_size",
        ),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, change, part):
    with safe_open(letter_file.SHIPPED, framework="pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in sorted(file.keys())}, file.metadata()
    change(tensors, metadata)
    save_file(tensors, tmp_path / "odd.safetensors", metadata=metadata)
    with pytest.raises(DlkaError) as caught:
        load_letter(tmp_path / "odd.safetensors")
    assert str(caught.value).startswith("odd.safetensors: ")
    assert part in str(caught.value)


def edit(metadata, field, value):
    metadata["card"] = json.dumps(json.loads(metadata["card"]) | {field: value})


def test_no_file_a_folder_and_a_torn_one(tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(letter_file.SHIPPED.read_bytes()[:5000])
    (tmp_path / "large.safetensors").write_bytes(bytes(2**20 + 1))
    for name, part in (
        ("none.safetensors", "there is no such file; make one with: python -m dlka train-letter --out none.safe"),
        ("", "is no file"),
        ("torn.safetensors", "is not a whole safetensors file"),
        ("large.safetensors", "expected at most 1 MB"),
    ):
        with pytest.raises(DlkaError) as caught:
            load_letter(tmp_path / name)
        assert part in str(caught.value)


def test_the_catalogue_leaves_it_aside(caplog, capsys):
    assert FORMAT in NO_MODELS
    assert letter_file.SHIPPED.parent == catalog.WEIGHTS
    assert "letter" not in catalog.available()
    assert "letter" not in catalog.cards()
    assert catalog.left_out() == {}
    assert not caplog.text
    assert main(["val", "--model", "letter", "--data", "."]) == 2
    assert "letter.safetensors: expected the weights of a detector, got nets that name drawn letters, which dlka" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_the_command_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiment.train_letters, "__defaults__", (3, 2, 200, 60, lambda line: None))
    out, written = tmp_path / "l.safetensors", tmp_path / "l.json"
    assert main(["train-letter", "--out", str(out), "--seeds", "2", "--json", str(written)]) == 0
    said = capsys.readouterr()
    assert "deformable, seed 1: " in said.err
    nets, card = load_letter(out)
    assert set(nets) == set(READERS)
    assert len(card.figures["features"]) == 2
    assert json.loads(written.read_text())["figures"] == card.figures
    assert "60 other pictures\nnamed, %" in said.out
    assert f"Written: {out}, the nets of seed 0." in said.out
    for caveat in card.caveats:
        assert caveat in said.out


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--out", "a.pt"], "a.pt: expected a name that ends in .safetensors, in a folder that is there."),
        (["--out", "none/a.safetensors"], "in a folder that is there."),
        (["--seeds", "0"], "seeds: expected at least 1, got 0."),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(argv, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train-letter", *argv]) == 2
    assert part in capsys.readouterr().err
