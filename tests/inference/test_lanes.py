"""Many pictures: in batches and in lanes each gets what it gets alone, in order, and a bad one costs no other."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from ultralytics.utils import ASSETS

from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.lanes import MOST_PICTURES, in_lanes, lane, room
from dlka.inference.predictor import Predictor, load_predictor
from dlka.models.catalog import find
from dlka.models.weights import load_model

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SIZE = 160


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    bus, zidane = (read_image(ASSETS / name)[::4, ::4].copy() for name in ("bus.jpg", "zidane.jpg"))
    return [zidane, bus, zidane[:, ::-1].copy(), zidane[25:83].copy(), bus[::2, ::2].copy()]


@pytest.fixture
def threads():
    """Two threads, as on a machine with two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def same(one, other):
    assert one.letterbox == other.letterbox
    assert np.array_equal(one.detections.classes, other.detections.classes)
    assert np.array_equal(one.detections.cells, other.detections.cells)
    assert np.allclose(one.detections.boxes, other.detections.boxes, rtol=0, atol=1e-3)
    assert np.allclose(one.detections.scores, other.detections.scores, rtol=0, atol=1e-5)
    for a, b in zip(one.captures, other.captures, strict=True):
        assert a.stage == b.stage
        assert np.allclose(a.offset, b.offset, rtol=1e-4, atol=1e-4)
    for a, b in zip(one.gates, other.gates, strict=True):
        assert (a.block, a.level, a.stride) == (b.block, b.level, b.stride)
        assert np.allclose(a.values, b.values, rtol=1e-4, atol=1e-4)


def interventions(predictor, picture):
    learned = predictor.predict(picture, size=SIZE).captures
    yield from (Intervention(), Intervention(strength=0.5), Intervention("gate off"), Intervention("shuffled", seed=3))
    yield Intervention("given", fields={capture.stage.name: capture.offset for capture in learned})


@pytest.mark.parametrize("model", ["neck", "head"])
def test_a_batch_gives_each_picture_what_it_gives_it_alone(pictures, model):
    predictor = load_predictor(model, "cpu")[0]
    sizes = [SIZE, SIZE, SIZE, SIZE, 96]
    for intervention in interventions(predictor, pictures[1]):
        asked = {"confidence": 0.05, "intervention": intervention}
        together = predictor.predict_all(pictures, size=sizes, **asked)
        assert len({seen.letterbox.padded for seen in together}) == 4, "the first and third have one shape"
        for picture, size, seen in zip(pictures, sizes, together, strict=True):
            same(seen, predictor.predict(picture, size=size, **asked))
    assert sum(len(seen.detections) for seen in predictor.predict_all(pictures, size=SIZE)) > 5


def test_pictures_of_one_shape_run_together(pictures):
    predictor, runs = Predictor(load_model(find("control"))[0], CPU), []
    predictor.model.register_forward_pre_hook(lambda _, inputs: runs.append(tuple(inputs[0].shape)))
    assert predictor.predict_all([]) == []
    predictor.predict_all(pictures, size=SIZE)
    assert sorted(runs) == [(1, 3, 32, 160), (2, 3, 96, 160), (2, 3, 160, 128)]


def test_two_lanes_run_one_model_at_the_same_time_on_the_same_weights(pictures, threads):
    predictor = Predictor(load_model(find("neck"))[0], CPU)
    alone = [predictor.predict(picture, size=SIZE) for picture in pictures]
    both, seen, ready = threading.Barrier(2, timeout=30), [], threading.Event()

    def meet(module, inputs):
        if ready.is_set() and len(seen) < 2:
            seen.append((lane(), torch.get_num_threads(), {p.data_ptr() for p in module.parameters()}))
            both.wait()

    predictor.model.register_forward_pre_hook(meet)

    def look(images):
        if not ready.is_set():  # so that both lanes come here, and have their twins from then on
            both.wait()
        return predictor.predict_all(images, size=SIZE)

    list(in_lanes(range(2), pictures.__getitem__, look, lambda _, one: one, batch=1, lanes=2))
    ready.set()
    found = list(in_lanes(range(len(pictures)), pictures.__getitem__, look, lambda _, one: one, batch=1, lanes=2))
    assert [number for number, _ in found] == list(range(len(pictures)))
    for (_, one), other in zip(found, alone):
        same(one, other)
    (first, second) = sorted(seen, key=lambda each: each[0])
    assert (first[:2], second[:2]) == ((0, 1), (1, 1))
    assert first[2] == second[2], "twins have the weights in common"


def test_whoever_is_no_lane_has_the_model_for_himself(pictures, threads):
    predictor, running, most = Predictor(load_model(find("control"))[0], CPU), [], []

    def count(module, inputs):
        running.append(lane())
        most.append(sorted(map(str, running)))

    def look(images):
        time.sleep(0.001)  # or no other thread would get the lock
        return predictor.predict_all(images, size=96)

    predictor.model.register_forward_pre_hook(count)
    predictor.model.register_forward_hook(lambda *_: running.remove(lane()))
    visitor = threading.Thread(target=lambda: [predictor.predict(pictures[0], size=96) for _ in range(10)])
    every = in_lanes(range(60), lambda number: pictures[number % 5], look, lambda *_: None, batch=1, lanes=2)
    next(every)
    visitor.start()
    assert [done for _, done in every] == 59 * [None]
    visitor.join()
    assert ["0", "1"] in most
    assert most.count(["None"]) == 10
    assert not any(len(together) > 1 and "None" in together for together in most)


def test_threads_are_as_they_were(threads):
    assert list(in_lanes(range(6), int, lambda _: [torch.get_num_threads()], max, batch=1, lanes=2)) == [
        (number, max(number, 1)) for number in range(6)
    ]
    later = []
    for see in (lambda: later.append(torch.get_num_threads()), lambda: later.append(lane())):
        thread = threading.Thread(target=see)
        thread.start()
        thread.join()
    assert (torch.get_num_threads(), lane(), later) == (2, None, [2, None])


@pytest.mark.parametrize(("batch", "lanes"), [(1, 1), (3, 1), (2, 2), (50, 3)])
def test_a_bad_item_costs_no_other(batch, lanes):
    def read(item):
        if item == 4:
            raise OSError("cannot be read")
        time.sleep(0.01 if item % 3 == 0 else 0)  # later ones are ready first
        return item

    def look(items):
        if 7 in items:
            raise ValueError("cannot be looked at")
        return [10 * item for item in items]

    def finish(item, seen):
        if item == 9:
            raise KeyError("cannot be written")
        return item, seen

    found = list(in_lanes(range(20), read, look, finish, batch=batch, lanes=lanes))
    assert [item for item, _ in found] == list(range(20))
    assert {item: type(done) for item, done in found if isinstance(done, Exception)} == {
        4: OSError,
        7: ValueError,
        9: KeyError,
    }
    assert all(done == (item, 10 * item) for item, done in found if item not in (4, 7, 9))


def test_few_are_in_memory_and_ending_it_ends_it():
    read = []
    every = in_lanes(iter(range(10_000)), lambda item: read.append(item), list, lambda *_: None, batch=2, lanes=2)
    for _ in range(10):
        next(every)
    time.sleep(0.2)
    assert len(read) <= 10 + 2 * 6
    every.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dlka-lane")]


def test_the_room_of_a_gpu_decides_on_the_batch(monkeypatch, threads):
    assert room(CPU, 640) == {"lanes": 2, "batch": 1}
    batches = []
    for gigabytes in (0.1, 4, 8, 80):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=int(gigabytes * 1e9): (free, 2 * free))
        assert room(GPU, 640)["lanes"] == 2
        batches.append(room(GPU, 640)["batch"])
    assert batches == [1, 2, 4, MOST_PICTURES]
    assert room(GPU, 320)["batch"] == MOST_PICTURES


def test_what_does_not_fit_is_halved_from_then_on(pictures):
    predictor, runs = Predictor(load_model(find("control"))[0], CPU), []
    alone = predictor.predict(pictures[0], size=SIZE)

    def full(module, inputs):
        runs.append(len(inputs[0]))
        if runs[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    predictor.model.register_forward_pre_hook(full)
    for seen in predictor.predict_all(5 * [pictures[0]], size=SIZE):
        same(seen, alone)
    assert runs == [5, 2, 1, 2]
    predictor.predict_all(4 * [pictures[0]], size=SIZE)
    assert runs[4:] == [2, 2]
    predictor.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none left")))
    with pytest.raises(torch.OutOfMemoryError):
        predictor.predict(pictures[0], size=SIZE)
