"""From training to files: what is trained is read back, looks, is measured, and leaves what other programs read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dlka.cli import main
from dlka.errors import DlkaError
from dlka.models.checkpoint import sha256
from dlka.nets import NETS, build_net
from dlka.nets.volume import PRESETS, VolumeNet
from dlka.segment import segmenter as looking
from dlka.segment import training
from dlka.segment.judge import dice, rows_of, val_seg
from dlka.segment.net_file import NetCard, load_net, read_card, save_net
from dlka.segment.outputs import numbers
from dlka.segment.scans import read_labels, read_scan
from dlka.segment.segmenter import Segmentation, Segmenter
from dlka.train.recipe import SegmentRecipe

pytestmark = pytest.mark.slow


def numbers_of(path):
    return dict(load_file(path))


def test_a_run_that_was_killed_ends_as_it_would_have(balls, tmp_path, monkeypatch):
    monkeypatch.setitem(training.CROPS, "volume", 16)
    monkeypatch.setattr(training, "KEPT_EVERY", 1)
    recipe = SegmentRecipe(str(balls), offsets="none", steps=3)
    training.train(recipe, tmp_path / "whole.safetensors", tmp_path / "whole")

    kept = training.keep

    def killed(file, state):
        kept(file, state)
        if state["steps"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, tmp_path / "killed.safetensors", tmp_path / "killed")
    monkeypatch.setattr(training, "keep", kept)
    with pytest.raises(DlkaError, match="a run of another recipe"):
        training.train(replace(recipe, seed=1), tmp_path / "killed.safetensors", tmp_path / "killed")
    said: list[str] = []
    training.train(recipe, tmp_path / "killed.safetensors", tmp_path / "killed", said.append)
    assert said[0] == f"{balls.name}: 3 cases, 2,655,473 parameters, 3 steps; goes on after step 2."
    whole, other = (numbers_of(tmp_path / f"{name}.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in whole.items())


def test_strength_scales_what_is_sampled_and_zero_is_the_twin(trained, balls, tmp_path):
    scan = read_scan(balls / "images" / "val" / "ball-0.nii.gz")
    net, card = load_net(trained)
    with torch.no_grad():  # as if it had learned much
        for name, value in net.named_parameters():
            if name.endswith("conv_offset.bias"):
                value += torch.linspace(-1, 1, len(value))
    save_net(tmp_path / "moved.safetensors", net, card)
    moved = Segmenter.of(str(tmp_path / "moved.safetensors"))
    full, half, zero = (moved.look(scan, strength) for strength in (1.0, 0.5, 0.0))
    first = [seen.stages[0] for seen in (full, half, zero)]
    assert np.allclose(first[1].offset, 0.5 * first[0].offset, atol=1e-5)
    assert not first[2].offset.any()
    assert (first[0].label, first[0].kernel, first[0].stride) == ("encoder 1, block 1, 3x3x3", (3, 3, 3), (2, 2, 2))
    assert first[0].offset.shape == (9, 11, 10, 27, 3)
    assert first[0].reach == (16, 16, 16), "of 18, 22 and 20 cells, filled up to 32"
    twin = build_net("volume", "small", 3, "none").eval()
    twin.load_state_dict({name: value for name, value in net.state_dict().items() if "conv_offset" not in name})
    still = Segmenter(twin, replace(card, offsets="none")).look(scan)
    assert np.array_equal(zero.labels, still.labels)
    assert still.stages == ()


def test_large_scans_go_in_by_windows(trained, balls, monkeypatch):
    scan = read_scan(balls / "images" / "val" / "ball-0.nii.gz")
    monkeypatch.setitem(looking.WHOLE, "volume", 1000)
    monkeypatch.setitem(looking.WINDOW, "volume", 16)
    seen = Segmenter.of(str(trained)).look(scan)
    assert seen.labels.shape == scan.space
    assert seen.stages == ()


def test_val_seg_measures_with_offsets_and_without(trained, balls):
    measured = val_seg([str(trained)] * 2, str(balls))
    assert measured["networks"] == {str(trained): {"file": trained.name, "sha256": sha256(trained)}}
    assert [row["model"] for row in measured["rows"]] == [str(trained), f"{trained}, offsets at zero"]
    scan, true = (
        f(balls / kind / "val" / "ball-1.nii.gz") for f, kind in ((read_scan, "images"), (read_labels, "labels"))
    )
    labels = Segmenter.of(str(trained)).look(scan).labels
    assert measured["values"][str(trained)][1][1][0] == pytest.approx(dice(labels == 2, true == 2), abs=1e-4)
    assert measured["against"][0]["against"] == f"{trained}, offsets at zero"
    json.dumps(measured, allow_nan=True)


def test_val_seg_says_where_names_differ(trained, balls, tmp_path, capsys):
    data = tmp_path / "balls"
    shutil.copytree(balls, data)
    (data / "data.yaml").write_text("names: {1: below, 2: above}")
    said: list[str] = []
    measured = val_seg([str(trained)], str(data), said.append)
    assert (
        "its classes are lower, upper, those of the data below, above; they are compared by their numbers." in said[0]
    )
    assert list(rows_of(measured)[0])[1:] == [
        *("below: Dice", "below: HD95, mm", "above: Dice", "above: HD95, mm"),
    ]
    for names in ("{1: upper, 2: lower}", "{1: upper, 2: other}", "{1: other, 2: lower}"):
        (data / "data.yaml").write_text(f"names: {names}")
        both = "(upper is number 2|lower is number 1) of the network and number [12] of the data"
        with pytest.raises(DlkaError, match=both):
            val_seg([str(trained)], str(data))
    (data / "data.yaml").write_text("names: {1: lower, 2: upper}")
    for file in (data / "labels" / "val").iterdir():  # a part that is nowhere has no figure
        labels = nibabel.load(file)
        nibabel.save(nibabel.Nifti1Image(np.asarray(labels.dataobj) % 2, np.eye(4)), file)
    shutil.copy(trained, tmp_path / "balls.safetensors")
    asked = ["val-seg", "--model", str(tmp_path / "balls.safetensors"), "--data", str(data), "--write"]
    assert main([*asked, "--json", str(tmp_path / "val.json")]) == 0
    assert "hd95" not in read_card(tmp_path / "balls.safetensors").scores["rows"][0]["upper"]
    json.loads((tmp_path / "val.json").read_text(), parse_constant=pytest.fail)


def test_what_a_file_does_not_say_is_said_once(trained, balls, tmp_path, capsys):
    good = nibabel.load(balls / "images" / "val" / "ball-0.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.asarray(good.dataobj), None), tmp_path / "nowhere.nii.gz")
    main(["segment", str(tmp_path / "nowhere.nii.gz"), "--model", str(trained), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out.count("nowhere.nii.gz: the file does not say where left and right are.") == 1


def test_a_network_that_does_not_deform_has_no_strength(trained, balls):
    scan = read_scan(balls / "images" / "val" / "ball-0.nii.gz")
    seen, card = Segmentation(np.zeros(scan.space, np.uint8), (), 0.5), load_net(trained)[1]
    assert numbers(scan, seen, card)["strength"] == 0.5
    assert numbers(scan, seen, replace(card, offsets="none"))["strength"] is None


def test_the_command_writes_what_others_read_and_one_bad_file_costs_its_line(trained, balls, tmp_path, capsys):
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing")
    good = balls / "images" / "val" / "ball-0.nii.gz"
    out = tmp_path / "out"
    status = main(["segment", str(tmp_path / "bad.nii.gz"), str(good), "--model", str(trained), "--out", str(out)])
    said = capsys.readouterr()
    assert status == 1
    assert f"{tmp_path / 'bad.nii.gz'}: expected a NIfTI volume" in said.err, "its name stands there once"
    assert "ball-0.nii.gz: lower" in said.out
    labels, moved = (nibabel.load(out / f"ball-0-{name}.nii.gz") for name in ("labels", "moved"))
    assert labels.shape == moved.shape == nibabel.load(good).shape
    told = json.loads((out / "ball-0.json").read_text())
    assert told["network"]["sha256"] == sha256(trained)
    assert told["parts"]["upper"]["cells"] == int((np.asarray(labels.dataobj) == 2).sum())
    with np.load(out / "ball-0.npz") as arrays:
        assert arrays["encoder 1, block 1, 3x3x3/offset"].shape == (9, 11, 10, 27, 3)
    assert (out / "ball-0.png").is_file()
    assert main(["segment", str(good), "--model", "nobody", "--out", str(out)]) == 2
    bad = ["segment", str(tmp_path / "bad.nii.gz"), "--model", str(trained), "--out"]
    assert main([*bad, str(tmp_path / "none")]) == 1
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("mine")
    assert main([*bad, str(tmp_path / "file")]) == 2, "said before anything is segmented"
    assert main(["segment", "assets/segment/cell-1-011.png", "--model", str(trained), "--out", str(out)]) == 1
    assert "this network segments a volume; it was given a picture" in capsys.readouterr().err


def test_nothing_of_the_users_is_overwritten(trained, balls, tmp_path, capsys):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"mine")
    beside = tmp_path / "more"
    beside.mkdir()
    (beside / "a.jpg").write_bytes(b"mine, too")
    asked = ["segment", str(picture), "--model", str(trained), "--out"]
    assert main([*asked, str(tmp_path)]) == 2
    assert "a.png lies there, and could be overwritten: give another folder" in capsys.readouterr().err
    assert main(["segment", str(beside / "a.jpg"), *asked[1:], str(tmp_path / "out")]) == 2
    assert "expected files of different names" in capsys.readouterr().err
    (tmp_path / "a-labels.png").write_bytes(b"of another program")
    assert main(["segment", str(tmp_path / "a-labels.png"), *asked[1:], str(tmp_path / "out")]) == 2
    assert "their results would have the same name" in capsys.readouterr().err
    assert picture.read_bytes() == b"mine"
    assert not (tmp_path / "out").exists()
    learn = ["train-seg", "--data", str(balls), "--steps", "1", "--offsets", "none", "--batch", "1", "--out"]
    assert main([*learn, str(tmp_path / "net")]) == 2
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err
    (tmp_path / "net.safetensors").write_bytes(b"days of work")
    assert main([*learn, str(tmp_path / "net.safetensors")]) == 2
    assert "net.safetensors exists already" in capsys.readouterr().err
    assert (tmp_path / "net.safetensors").read_bytes() == b"days of work"


def test_labels_of_another_size_are_refused_in_a_sentence(trained, balls, tmp_path):
    shutil.copytree(balls, tmp_path / "balls")
    labels = tmp_path / "balls" / "labels" / "val" / "ball-0.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((7, 8, 9), np.uint8), np.eye(4)), labels)
    with pytest.raises(DlkaError, match=r"expected labels of \[18, 22, 20\] cells, got \[9, 8, 7\]"):
        val_seg([str(trained)], str(tmp_path / "balls"))


def test_files_that_are_no_such_network_are_refused(trained, tmp_path):
    tensors = numbers_of(trained)
    name = next(name for name in tensors if name.endswith("gamma"))
    for change, said in (
        (lambda t: t.pop(name), "1 are missing"),
        (lambda t: t.update(more=torch.zeros(1)), "1 do not"),
    ):
        changed = dict(tensors)
        change(changed)
        from safetensors import safe_open

        with safe_open(trained, "pt") as file:
            metadata = file.metadata()
        save_file(changed, tmp_path / "changed.safetensors", metadata)
        with pytest.raises(DlkaError, match=said):
            load_net(tmp_path / "changed.safetensors")
    with pytest.raises(DlkaError, match=r"expected a network that segments \(format dlka-net-1\)"):
        load_net("weights/letter.safetensors")


def test_a_network_of_one_size_of_crop_sees_a_scan_by_windows(balls):
    torch.manual_seed(0)
    net = VolumeNet(replace(PRESETS["small"], crop=(16, 16, 16)), 3).eval()
    card = NetCard("volume", "paper", "dense", ["", "a", "b"], 16, "none", {}, "AGPL-3.0", 0, {})
    scan = read_scan(balls / "images" / "val" / "ball-0.nii.gz")
    seen = Segmenter(net, card).look(scan)
    assert seen.labels.shape == scan.space
    assert scan.space != net.crop
    assert seen.stages == ()


def test_crops_are_what_the_network_takes():
    with torch.device("meta"):
        sides = [training.sides_of(build_net(kind, preset), kind) for kind in NETS for preset in ("small", "paper")]
    assert sides == [(32, 32, 32), (64, 128, 128), (128, 128), (224, 224)]
