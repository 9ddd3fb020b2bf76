"""The cache of the pages: bounded by bytes, each value made once."""

import threading

import pytest

from pages.server.byte_cache import ByteCache


def test_the_longest_unused_values_go_first_until_the_rest_fits():
    cache = ByteCache(100, size=len)
    for name, size in (("a", 40), ("b", 40)):
        cache.get(name, lambda size=size: bytes(size))
    cache.get("a", lambda: pytest.fail("it is kept"))
    cache.get("c", lambda: bytes(50))
    assert cache.bytes == 90
    made = []
    for name in "ab":
        cache.get(name, lambda name=name: made.append(name) or b"")
    assert made == ["b"]


def test_a_value_larger_than_the_cache_is_returned_and_not_kept():
    cache = ByteCache(10, size=len)
    assert len(cache.get("a", lambda: bytes(11))) == 11 and cache.bytes == 0


def test_a_value_that_grows_is_measured_again():
    cache = ByteCache(10, size=len)
    growing = cache.get("a", list)
    growing += range(8)
    cache.grown("a")
    assert cache.bytes == 8
    growing += range(8)
    cache.grown("a")
    assert cache.bytes == 0


def test_many_that_ask_at_once_share_one_value_and_do_not_hold_up_another():
    cache, made, go_on = ByteCache(100, size=len), [], threading.Event()

    def slowly():
        made.append(1)
        go_on.wait(30)
        return b"slow"

    threads = [threading.Thread(target=lambda: cache.get("a", slowly)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert cache.get("b", lambda: b"quick") == b"quick"
    go_on.set()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_what_fails_is_tried_again_by_the_next():
    cache = ByteCache(100, size=len)
    with pytest.raises(ValueError):
        cache.get("a", lambda: int("no number"))
    assert cache.get("a", lambda: b"now") == b"now"
