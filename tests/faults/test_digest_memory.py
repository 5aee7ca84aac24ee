"""A digest run needs memory for a hundred users, however many there are."""

import pytest

from bench.digests import measure

pytestmark = pytest.mark.fault
MORE = 10  # megabytes; 3,000 emails would take 30, 50,000 tasks 20


def test_digest_memory_does_not_grow_with_users():
    few, many = measure(users=500, tasks=3), measure(users=3_500, tasks=3)

    assert (few["queued"], many["queued"]) == (500, 3_500)
    assert many["sent_peak_mb"] - few["sent_peak_mb"] < MORE


def test_digest_memory_does_not_grow_with_tasks_per_user():
    few, many = measure(users=10, tasks=100), measure(users=10, tasks=5_000)

    assert (few["queued"], many["queued"]) == (10, 10)
    assert many["peak_mb"] - few["peak_mb"] < MORE
