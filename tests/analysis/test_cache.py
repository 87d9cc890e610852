"""What is kept in memory has a bound in bytes, and bytes are counted honestly."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch

from dlka.analysis import analysis as analysis_module
from dlka.analysis import cache
from dlka.analysis.analysis import Settings, analyse, analyse_pixels, get_analysis
from dlka.analysis.cache import Kept, byte_size
from dlka.analysis.examples import examples
from dlka.images import MAX_PIXELS, read_image

MB = 2**20


def block(megabytes=1):
    return np.zeros(megabytes * MB, np.uint8)


def test_the_least_recently_used_make_room():
    store = Kept(int(3.5 * MB))
    for name in "abc":
        store.get(name, block)
    store.get("a", lambda: pytest.fail("a is kept"))
    store.get("d", block)
    assert [name in store for name in "abcd"] == [True, False, True, True]
    store.get("e", lambda: block(3))
    assert [name in store for name in "abcde"] == [False, False, False, False, True]
    assert 3 * MB < store.used < store.limit


def test_what_made_room_is_made_again():
    store, made = Kept(MB // 2), []
    for _ in range(2):
        assert store.get("a", lambda: (made.append(1), block())[1]).nbytes == MB, "too large to keep, and handed out"
    assert len(made) == 2
    assert store.used == 0
    assert "a" not in store


def test_what_shall_stay_stays():
    store = Kept(2 * MB)
    store.stay("first")
    store.get("first", block)
    for number in range(50):
        store.get(number, lambda: block(1))
    assert "first" in store
    assert store.used < 2 * MB + 2000


def test_a_new_value_takes_the_place_of_the_old_one():
    store = Kept(10 * MB)
    store.put("a", block(4))
    store.put("a", block(2))
    assert 2 * MB < store.used < 2 * MB + 2000


def test_nothing_is_kept_of_what_fails():
    store = Kept(MB)
    with pytest.raises(ZeroDivisionError):
        store.get("a", lambda: 1 // 0)
    assert store.get("a", lambda: 5) == 5


def test_two_that_ask_for_the_same_at_once_make_it_once():
    store, made, begun, go = Kept(MB), [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        begun.set()
        assert go.wait(20)
        return "value"

    answers = []
    threads = [threading.Thread(target=lambda: answers.append(store.get("a", make))) for _ in range(4)]
    threads[0].start()
    assert begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert (answers, made) == (["value"] * 4, [1])


@dataclass(frozen=True)
class Holder:
    array: np.ndarray

    @cached_property
    def doubled(self):
        return np.repeat(self.array, 2)


def test_bytes_are_counted_through_everything_that_holds_them():
    array = block()
    for value in (array, [array, array], {"a": {"b": (array,)}}, Holder(array), array[5:9], array.reshape(4, -1)[1]):
        assert MB <= byte_size(value) < MB + 2000
    assert MB <= byte_size(torch.zeros(MB // 4).numpy()) < MB + 2000, "memory that belongs to another library"
    holder = Holder(array)
    assert holder.doubled.nbytes == 2 * MB
    assert 3 * MB <= byte_size(holder) < 3 * MB + 2000, "what was computed since counts too"
    assert byte_size(b"x" * MB) > MB
    assert byte_size(np) + byte_size(np.ndarray) + byte_size(len) < 1000


def test_a_look_holds_its_offsets_and_gates_but_not_the_picture_of_a_file(monkeypatch):
    store = Kept(2**30)
    for module in (cache, analysis_module):
        monkeypatch.setattr(module, "STORE", store)
    file = examples()["Bus stop"]
    seen = analyse(file, Settings(size=64))
    arrays = sum(a.nbytes for a in [*(c.offset for c in seen.dlka.captures), *(g.values for g in seen.dlka.gates)])
    assert arrays < byte_size(seen) < arrays + 200_000
    assert seen.image.nbytes > 2_000_000
    without = analyse_pixels(read_image(file), Settings(size=64))
    assert byte_size(without) > arrays + seen.image.nbytes


def test_large_pictures_stay_within_the_limit(monkeypatch, tmp_path):
    """Many small files of many pixels, one after the other: neither they nor their looks pile up."""
    import cv2

    store = Kept(8 * MB)
    for module in (cache, analysis_module):
        monkeypatch.setattr(module, "STORE", store)
    monkeypatch.setattr(analysis_module, "PICTURES", pictures := Kept(8 * MB))
    keys = []
    for number in range(6):
        file = tmp_path / f"{number}.png"
        cv2.imwrite(str(file), np.full((1000, 1100, 3), 20 * number, np.uint8))  # 3.3 MB of pixels each
        keys.append(analyse(file, Settings(size=64)).key)
        assert max(store.used, pictures.used) <= 8 * MB
    assert [get_analysis(key).image[0, 0, 0] for key in keys] == [0, 20, 40, 60, 80, 100]
    assert 3 * MB < pictures.used <= 8 * MB


def test_everything_together_is_half_a_gigabyte():
    assert cache.LIMIT + cache.PIXELS == 512 * MB
    assert cache.PIXELS > 3 * MAX_PIXELS, "the largest picture is not read again for every drawing"
