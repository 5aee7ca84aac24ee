"""Failed reloads and failed worker boots do not affect the running service."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.faults.deployed import production
from tests.live.server import Server, checkout, manage, serving
from tests.logs import wait_until
from tests.smtp import free_port

pytestmark = pytest.mark.fault
ENV = "SLOW_QUERY_THRESHOLD=100\n"


class Load:
    """Sends requests throughout the block; each must succeed."""

    def __init__(self, url: str) -> None:
        self.url, self.statuses = url, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self.statuses.append(requests.get(f"{self.url}/api/auth/me/", timeout=30).status_code)
            except requests.RequestException as error:
                self.statuses.append(error)


class Installation:
    """A copy of the project, and the server that runs from it."""

    def __init__(self, folder: Path) -> None:
        self.project = checkout(folder / "opt")
        self.env_file = self.project / ".env"
        self.env_file.write_text(ENV)
        self.variables = production(
            folder,
            DATABASE_URL=f"sqlite:///{folder / 'db.sqlite3'}",
            ALLOWED_HOSTS="127.0.0.1",
            SECURE_SSL_REDIRECT="off",
            TRUSTED_PROXY_COUNT="0",
            WEB_BIND=f"127.0.0.1:{free_port()}",
            LOG_CONSOLE_FORMAT="json",
        )
        self.folder = folder
        self.server: Server

    @contextmanager
    def serving(self) -> Iterator[None]:
        with serving(self.variables, self.folder / "console", project=self.project) as self.server:
            yield
            self.server.process.terminate()
            assert self.server.process.wait(timeout=20) == 0

    def workers(self) -> set[int]:
        return {worker.pid for worker in psutil.Process(self.server.process.pid).children()}

    def hup(self) -> None:
        os.kill(self.server.process.pid, signal.SIGHUP)

    def refusals(self) -> list[str]:
        return [entry["reason"] for entry in self.server.logs.entries("error", event="reload_refused")]

    def break_file(self, name: str, text: str) -> Callable[[], None]:
        """Append text to a file; return a function that removes it."""
        path = self.project / name
        before = path.read_text()
        path.write_text(before + text)
        return lambda: path.write_text(before)


@pytest.fixture
def installation(tmp_path):
    found = Installation(tmp_path)
    manage(found.variables, "migrate", "--verbosity", "0", project=found.project)
    return found


BREAKS = {
    "a value that is invalid": (".env", "SLOW_QUERY_THRESHOLD=soon\n", "SLOW_QUERY_THRESHOLD"),
    "a secret that is too short": (".env", "SECRET_KEY_FALLBACKS=\nMETRICS_TOKEN=two words\n", "METRICS_TOKEN"),
    "a syntax error in settings": ("backend/settings.py", "\nfor\n", "SyntaxError"),
    "a syntax error in the gunicorn file": ("deploy/gunicorn.conf.py", "\nfor\n", "SyntaxError"),
    "a syntax error in a view": ("api/tasks/views.py", "\ndef view(:\n", "SyntaxError"),
    "an import that fails in a view": ("api/operations/views.py", "\nimport nowhere\n", "nowhere"),
    "an import that fails in a model": ("api/tasks/models.py", "\nfrom api.tasks import nowhere\n", "nowhere"),
    "a name that is not there in the URLs": ("api/urls.py", "\nurlpatterns += [nowhere]\n", "nowhere"),
    "an exit": ("backend/wsgi.py", "\nraise SystemExit(7)\n", ""),
}


def test_invalid_reload_is_refused_and_the_next_one_works(installation):
    with installation.serving(), Load(installation.server.url) as load:
        first = installation.workers()
        for number, (name, (file, text, reason)) in enumerate(BREAKS.items(), start=1):
            repair = installation.break_file(file, text)
            installation.hup()
            wait_until(lambda number=number: len(installation.refusals()) == number, seconds=30)
            repair()

            assert reason in installation.refusals()[-1], name
            assert installation.workers() == first, name
        installation.hup()
        wait_until(lambda: first.isdisjoint(installation.workers()) and len(installation.workers()) == 2, seconds=30)

    assert set(load.statuses) == {401}
    assert len(load.statuses) > 50


def test_reload_loads_new_values(installation):
    del installation.variables["WEB_CONCURRENCY"]
    installation.env_file.write_text("WEB_CONCURRENCY=3\n")
    with installation.serving(), Load(installation.server.url) as load:
        first = installation.workers()
        assert len(first) == 3
        installation.env_file.write_text("WEB_CONCURRENCY=1\n")
        installation.hup()
        wait_until(lambda: first.isdisjoint(installation.workers()) and len(installation.workers()) == 1, seconds=30)

    assert set(load.statuses) == {401}


def test_reload_is_refused_when_the_bind_address_changes(installation):
    with installation.serving(), Load(installation.server.url) as load:
        installation.break_file("deploy/gunicorn.conf.py", '\nbind = "192.0.2.1:1"\n')
        installation.hup()
        wait_until(installation.refusals, seconds=30)

    assert "WEB_BIND" in installation.refusals()[0]
    assert set(load.statuses) == {401}


def test_worker_boot_failure_ends_no_other_worker(installation):
    """Break the code without a reload, then kill a worker."""
    with installation.serving(), Load(installation.server.url) as load:
        survivor, victim = sorted(installation.workers())
        repair = installation.break_file("api/tasks/views.py", "\nimport nowhere\n")
        os.kill(victim, signal.SIGTERM)
        wait_until(lambda: installation.server.logs.entries("error", event="worker_not_booted"), seconds=30)
        assert installation.workers() == {survivor}
        repair()
        wait_until(lambda: len(installation.workers()) == 2, seconds=30)
        assert survivor in installation.workers()

    assert set(load.statuses) == {401}


def test_start_fails_when_no_worker_can_boot(installation):
    installation.break_file("api/tasks/views.py", "\nimport nowhere\n")

    with pytest.raises(AssertionError, match="did not start"), installation.serving():
        pass

    assert "nowhere" in (installation.folder / "console").read_text()


def test_server_stops_quickly_during_a_reload(installation):
    """New workers get TERM too, and waiting reloads are dropped."""
    with installation.serving():
        first = installation.workers()
        for _ in range(5):
            installation.hup()
        wait_until(lambda: first != installation.workers(), seconds=30)
        for _ in range(5):
            installation.hup()

    assert len([entry for entry in installation.server.logs.entries("info") if "Hang up" in entry["message"]]) <= 4
