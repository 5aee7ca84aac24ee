"""What workers do with memory."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.live.server import environment, migrate, serving

ODD = {"DJANGO_SETTINGS_MODULE": "tests.failing_settings", "MEMORY_GROWTH_THRESHOLD": "60", "WEB_CONCURRENCY": "1"}


def test_growth_is_told_once_until_the_memory_has_fallen_again(tmp_path):
    variables = environment(tmp_path, **ODD)
    migrate(variables)
    with serving(variables, tmp_path / "console") as server:

        def told() -> int:
            return len(server.logs.entries("performance", event="memory_growth"))

        def hold(megabytes: int) -> None:
            assert server.request("GET", f"/odd/hold/{megabytes}/").status_code == 200
            server.request("GET", "/odd/slow/")  # the line of the one before is written by now

        hold(1)
        assert told() == 0
        hold(150)
        hold(151)
        assert told() == 1
        hold(1)
        assert told() == 1
        hold(150)
        assert told() == 2

        first, second = server.logs.entries("performance", event="memory_growth")
    assert first["level"] == "WARNING"
    assert first["memory"]["usage_mb"] > 150
    assert first["request"]["path"] == "/odd/hold/150/"
    assert second["process"] == first["process"]


def test_sign_ins_at_once_hold_memory_for_as_many_hashes_as_there_are_processors(tmp_path):
    processors = os.cpu_count() or 1
    threads = 4 * processors
    variables = environment(tmp_path, WEB_CONCURRENCY="1", WEB_THREADS=str(threads))
    migrate(variables)
    with serving(variables, tmp_path / "console") as server:
        (worker,) = psutil.Process(server.process.pid).children()
        before = worker.memory_info().rss / 2**20

        def sign_in(number: int) -> int:
            body = {"username": f"nobody{number}", "password": "wrong"}
            return server.request("POST", "/api/auth/login/", json=body).status_code

        with ThreadPoolExecutor(threads) as pool:
            assert set(pool.map(sign_in, range(threads))) == {401}

        status = Path(f"/proc/{worker.pid}/status").read_text()
    grown = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024 - before
    assert 46 < grown < 46 * (processors + 1) + 10
