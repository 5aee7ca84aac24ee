"""SingleFlight: one refresh at a time, in a thread."""

import threading

from backend.single_flight import SingleFlight


def test_callers_share_the_running_refresh():
    calls, release = [], threading.Event()
    flight = SingleFlight(lambda: calls.append(release.wait(5)), name="test", max_age=0)

    events = [flight.start_if_stale() for _ in range(100)]
    release.set()

    assert events[0].wait(5)
    assert all(event is events[0] for event in events)
    assert calls == [True]


def test_refresh_starts_again_only_when_the_last_one_is_too_old():
    calls = []
    flight = SingleFlight(lambda: calls.append(1), name="test", max_age=60)
    assert flight.start_if_stale().wait(5)
    assert flight.start_if_stale() is None

    flight._max_age = 0

    assert flight.start_if_stale().wait(5)
    assert calls == [1, 1]


def test_caller_gets_no_event_when_no_thread_can_start(monkeypatch):
    calls = []
    flight = SingleFlight(lambda: calls.append(1), name="test", max_age=0)

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert flight.start_if_stale() is None

    assert flight.start_if_stale().wait(5)
    assert calls == [1]
