"""A RepeatLimiter allows one report per key and interval, and counts the others."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.logs.repeats import RepeatLimiter


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("backend.logs.repeats.time.monotonic", lambda: now[0])
    return now


def test_limiter_allows_the_first_report_and_counts_its_repeats(clock):
    limiter = RepeatLimiter(60)

    assert [limiter.allow("a") for _ in range(3)] == [0, None, None]

    clock[0] += 60
    assert [limiter.allow("a"), limiter.allow("a")] == [2, None]


def test_limiter_counts_keys_apart(clock):
    limiter = RepeatLimiter(60)

    assert [limiter.allow("a"), limiter.allow("b"), limiter.allow("a")] == [0, 0, None]


def test_limiter_allows_a_report_after_a_reset(clock):
    limiter = RepeatLimiter(60)
    limiter.allow()
    limiter.reset()

    assert limiter.allow() == 0


def test_limiter_keeps_a_bounded_number_of_keys(clock):
    limiter = RepeatLimiter(60, max_keys=3)

    for number in range(100):
        limiter.allow(number)

    assert len(limiter._reports) <= 3


def test_limiter_allows_one_of_many_threads(clock):
    limiter = RepeatLimiter(60)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: limiter.allow(), range(800)))
    clock[0] += 60

    assert results.count(0) == 1
    assert limiter.allow() == 799


def test_limiter_works_in_a_child_whose_parent_held_the_lock():
    limiter = RepeatLimiter(60)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(limiter._lock.acquire).result()
        child = os.fork()
        if child == 0:
            os._exit(0 if limiter.allow() == 0 else 1)
        pool.submit(limiter._lock.release).result()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
