"""The memory of a run of digests is that of a hundred people and what is shown to them, however many there are."""

import pytest

from bench.digests import measure

pytestmark = pytest.mark.fault
MORE = 10  # megabytes; 3,000 letters would take 30, 50,000 tasks 20


def test_it_does_not_grow_with_people():
    few, many = measure(users=500, tasks=3), measure(users=3_500, tasks=3)

    assert (few["queued"], many["queued"]) == (500, 3_500)
    assert many["sent_peak_mb"] - few["sent_peak_mb"] < MORE


def test_it_does_not_grow_with_the_tasks_of_a_person():
    few, many = measure(users=10, tasks=100), measure(users=10, tasks=5_000)

    assert (few["queued"], many["queued"]) == (10, 10)
    assert many["peak_mb"] - few["peak_mb"] < MORE
