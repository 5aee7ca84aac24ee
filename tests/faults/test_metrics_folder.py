"""The metrics folder is full, damaged or missing; only readers of /metrics notice."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.live.server import Server, environment, manage, serving
from tests.logs import wait_until
from tests.test_metric_files import DAMAGE, samples

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root"),
]
TOKEN = "a-token-of-machines"
COUNTED = 'cosmo_http_requests_total{method="GET",route="none",status="4xx"}'
SAMPLED_EVERY = 5.0  # seconds; backend.telemetry.process_metrics


class Watched:
    """A server and the number of requests that the test has sent to it."""

    def __init__(self, server: Server) -> None:
        self.server, self.asked = server, 1  # `serving` has sent one request
        self.master = psutil.Process(server.process.pid)

    def ask(self, times: int = 20) -> None:
        """Send requests; each must succeed."""
        for _ in range(times):
            assert self.server.request("GET", "/nowhere/").status_code == 404
            assert self.server.request("GET", "/api/health/live/").status_code == 200
            self.asked += 1

    def scrape(self) -> dict[str, float]:
        answer = self.server.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        return samples(answer.text)

    def replace_workers(self) -> None:
        """Kill each worker and wait for its successor."""
        before = self.master.children()
        for worker in before:
            worker.kill()
        psutil.wait_procs(before, timeout=10)
        wait_until(lambda: len(self.master.children()) == 2)

    def wait_until_counted(self, lost: int = 0) -> None:
        """Wait until /metrics counts every request, except those of killed workers."""

        def is_counted() -> bool:
            self.ask(1)
            return self.asked - lost <= self.scrape().get(COUNTED, 0) <= self.asked

        wait_until(is_counted, seconds=SAMPLED_EVERY * 10)

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.server.logs.entries("info") if "metrics_" in entry.get("event", "")]


@contextmanager
def watched(folder: Path, metrics: Path, **variables: str) -> Iterator[Watched]:
    """Run a server that ends on TERM; assert that only signals of the test ended its workers."""
    settings = environment(folder, METRICS_TOKEN=TOKEN, PROMETHEUS_MULTIPROC_DIR=str(metrics), **variables)
    manage(settings | {"TMPDIR": str(folder)}, "migrate", "--verbosity", "0")  # SQLite needs space there
    with serving(settings, folder / "console") as server:
        found = Watched(server)
        found.ask()
        yield found
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
    assert "SIGBUS" not in server.console()
    assert "Traceback" not in server.console()


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Callable[[], None]:
    """Use up all space and inodes; return a function that releases them."""
    (folder / "filler").mkdir()
    with (folder / "filler" / "bytes").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    with contextlib.suppress(OSError):
        for number in range(10_000):
            (folder / "filler" / str(number)).touch()

    def empty() -> None:
        subprocess.run(["rm", "-rf", str(folder / "filler")], check=True)

    return empty


@pytest.mark.parametrize("options", ["size=300k", "size=1m,nr_inodes=40"], ids=["bytes", "inodes"])
def test_full_disk_ends_no_worker_and_loses_no_count(tmp_path, options):
    """All temporary files are on this disk; workers serve, end and start."""
    with disk(tmp_path / "disk", options) as small, watched(tmp_path, small / "metrics", TMPDIR=str(small)) as running:
        empty = fill(small)
        running.ask()
        for number in range(50):  # new series
            running.server.request("GET", f"/api/tasks/{number}/")
            running.server.request("DELETE", "/api/properties/1/")
        running.scrape()
        time.sleep(SAMPLED_EVERY)
        running.ask()
        killed = running.asked
        running.replace_workers()
        running.ask(50)
        running.scrape()
        empty()
        running.wait_until_counted(lost=killed)
        wait_until(lambda: running.ask(1) or "metrics_recovered" in running.events(), seconds=SAMPLED_EVERY * 10)

        assert running.events()[0] == "metrics_unwritable"


def test_server_starts_when_the_disk_is_full_from_the_start(tmp_path):
    with disk(tmp_path / "disk", "size=100k") as small:
        empty = fill(small)
        with watched(tmp_path, small / "metrics", TMPDIR=str(small)) as running:
            running.ask(50)
            running.replace_workers()
            killed = running.asked
            running.ask(50)
            empty()
            running.wait_until_counted(lost=killed)


def test_server_starts_when_the_disk_is_read_only(tmp_path):
    with disk(tmp_path / "disk", "size=1m,ro") as small, watched(tmp_path, small / "metrics") as running:
        running.ask(50)
        killed = running.asked
        running.replace_workers()
        running.ask(50)
        assert not any("http_requests" in name for name in running.scrape())
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        running.wait_until_counted(lost=killed)


def test_workers_run_and_boot_when_files_are_damaged(tmp_path):
    """tests/test_metric_files.py has every kind of damage."""
    metrics = tmp_path / "metrics"
    with watched(tmp_path, metrics) as running:
        wait_until(lambda: len(list(metrics.glob("counter_*.db"))) == 2)  # both have booted
        files = sorted(metrics.glob("*.db"))
        for name in ("empty", "random", "huge length"):
            for file in files:
                file.write_bytes(DAMAGE[name])
            running.scrape()
            running.ask()
        running.wait_until_counted()
        for name in ("truncated", "huge size", "deep JSON"):
            for file in files:
                file.write_bytes(DAMAGE[name])
            before = running.asked
            running.replace_workers()
            running.ask()
        running.wait_until_counted(lost=before)

        assert "metrics_file_damaged" in running.events()


def test_folder_is_created_and_recreated(tmp_path):
    metrics = tmp_path / "is" / "not" / "there"
    with watched(tmp_path, metrics) as running:
        assert running.scrape()[COUNTED] == running.asked
        subprocess.run(["rm", "-r", str(metrics)], check=True)
        running.ask()
        running.wait_until_counted()
        metrics.rename(tmp_path / "moved")
        metrics.touch()
        before = running.asked
        running.replace_workers()
        running.ask()
        assert COUNTED not in running.scrape()
        metrics.unlink()
        running.wait_until_counted(lost=before)
