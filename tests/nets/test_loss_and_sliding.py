"""Loss and sliding windows against their formulas."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from dlka.errors import DlkaError
from dlka.nets import segmentation_loss, soft_dice_loss
from dlka.nets.sliding import gaussian, slide, starts


def scores_of(labels, classes, sure=50.0):
    return sure * F.one_hot(labels, classes).movedim(-1, 1).float()


def test_dice_of_right_wrong_and_half():
    labels = torch.zeros(2, 3, 4, dtype=torch.long)
    labels[:, :, :2] = 1
    assert soft_dice_loss(scores_of(labels, 2), labels).item() == pytest.approx(0, abs=1e-4)
    assert soft_dice_loss(scores_of(1 - labels, 2), labels).item() == pytest.approx(1, abs=1e-4)
    half = labels.clone()
    half[:, :, 1] = 0  # half of class 1 is found and nothing else: Dice 2 * 1 / (1 + 2)
    assert soft_dice_loss(scores_of(half, 2), labels).item() == pytest.approx(1 / 3, abs=1e-4)


def test_dice_is_of_the_whole_batch_and_without_background():
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    chances, wanted = scores.softmax(1), 0
    for c in (1, 2):
        both = (chances[:, c] * (labels == c)).sum()
        wanted += (2 * both + 1e-5) / (chances[:, c].sum() + (labels == c).sum() + 1e-5) / 2
    torch.testing.assert_close(soft_dice_loss(scores, labels), 1 - wanted)


def test_heads_weigh_four_two_and_one_seventh():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (1, 8, 8, 8))
    heads = [torch.randn(1, 3, s, s, s) for s in (8, 4, 2)]
    # Nearest to the middle of a coarse cell of 2 (of 4) is the second (third) fine one.
    coarse = [labels, labels[:, 1::2, 1::2, 1::2], labels[:, 2::4, 2::4, 2::4]]
    alone = [segmentation_loss(h, y) for h, y in zip(heads, coarse)]
    torch.testing.assert_close(alone[0], soft_dice_loss(heads[0], labels) + F.cross_entropy(heads[0], labels))
    torch.testing.assert_close(segmentation_loss(heads, labels), (4 * alone[0] + 2 * alone[1] + alone[2]) / 7)


@pytest.mark.parametrize(("side", "window", "overlap"), [(10, 10, 0.5), (11, 4, 0.5), (48, 32, 0.25), (9, 2, 0)])
def test_windows_cover_everything_and_overlap_enough(side, window, overlap):
    found = starts(side, window, overlap)
    assert found[0] == 0
    assert found[-1] == side - window
    steps = [b - a for a, b in pairwise(found)]
    assert all(0 < s <= window * (1 - overlap) + 1 for s in steps)
    assert {i for s in found for i in range(s, s + window)} == set(range(side))


def test_weights_are_gaussian():
    weights = gaussian((5, 16))
    assert weights.shape == (5, 16)
    assert weights.max() == 1
    assert weights.min() > 0
    one = gaussian((17,))
    assert one[8].item() == pytest.approx(1)
    assert one[10].item() == pytest.approx(2.718281828 ** (-0.5 * (2 / (17 / 8)) ** 2), rel=1e-5)


def local(x):
    """A net that sees one cell: windows must not matter."""
    return torch.cat([x, x.square(), 1 - x], 1)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shape", [(2, 1, 9, 12, 7), (1, 1, 3, 20, 8), (1, 2, 6, 6)])
def test_windows_do_not_matter_to_a_net_that_sees_one_cell(shape, mirror):
    x = torch.randn(shape)
    window = (6, 8, 5)[: len(shape) - 2]
    torch.testing.assert_close(slide(local, x, window, mirror=mirror), local(x), rtol=1e-5, atol=1e-5)


def test_what_fits_is_one_pass():
    calls = []

    def net(x):
        calls.append(x)
        return x.cumsum(-1)

    x = torch.randn(1, 1, 4, 6, 8)
    assert torch.equal(slide(net, x, (4, 6, 8)), x.cumsum(-1))
    assert len(calls) == 1


def test_mirrors_are_turned_back_and_averaged():
    x = torch.randn(1, 1, 3, 4)
    got = slide(lambda x: x.cumsum(-1), x, (3, 4), mirror=True)
    torch.testing.assert_close(got, (x.cumsum(-1) + x.flip(-1).cumsum(-1).flip(-1)) / 2)


@pytest.mark.parametrize(("window", "overlap"), [((4, 4), 0.5), ((4, 4, 0), 0.5), ((4, 4, 4), 1.0)])
def test_other_windows_are_refused(window, overlap):
    with pytest.raises(DlkaError, match="expected a window of 3 sides and an overlap"):
        slide(local, torch.randn(1, 1, 4, 4, 4), window, overlap=overlap)
