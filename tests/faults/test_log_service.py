"""The service and its log files when workers are killed, disks are full or folders are missing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import requests

from tests.faults.writers import PROJECT, lines_of
from tests.live.server import Server, environment, manage, serving
from tests.logs import wait_until

pytestmark = pytest.mark.fault
SECONDS = 6  # of load


class Load:
    """Clients that send requests continuously, and keep the request id of each complete response."""

    def __init__(self, server: Server, clients: int = 4) -> None:
        self.server, self.answered, self.failed = server, [], 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                response = requests.get(f"{self.server.url}/api/tasks/", timeout=30)
            except requests.RequestException:
                self.failed += 1
            else:
                self.answered.append(response.headers["X-Request-ID"])


def workers_of(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


def logged_ids(folder: Path) -> Counter[str]:
    """Count the lines of each request; fail if a line is no complete record."""
    entries = [json.loads(line) for line in lines_of(folder / "performance.log")]
    return Counter(entry["request"]["id"] for entry in entries)


@pytest.fixture
def variables(tmp_path):
    variables = environment(tmp_path, DJANGO_SETTINGS_MODULE="tests.faults.small_files")
    manage(variables, "migrate", "--verbosity", "0")
    return variables


@pytest.mark.parametrize("preload", [False, True], ids=["preload off", "preload on"])
def test_responses_are_logged_through_hup_and_usr1(tmp_path, variables, preload):
    options = ["--preload"] if preload else []
    with serving(variables, tmp_path / "console", options=options) as server, Load(server) as load:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            os.kill(server.process.pid, signal.SIGUSR1)
            time.sleep(0.7)
            os.kill(server.process.pid, signal.SIGHUP)
            time.sleep(1.3)

    ids = logged_ids(tmp_path / "logs")
    assert len(load.answered) > 100
    assert [one for one in load.answered if ids[one] != 1] == []
    assert set(ids.values()) == {1}
    assert len(list((tmp_path / "logs").glob("performance.log.*"))) > 3


@pytest.mark.parametrize("preload", [False, True], ids=["preload off", "preload on"])
def test_killed_workers_lose_only_lines_of_current_requests(tmp_path, variables, preload):
    options = ["--preload"] if preload else []
    kills = 0
    with serving(variables, tmp_path / "console", options=options) as server, Load(server) as load:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.8)
            for worker in workers_of(server)[:1]:
                worker.kill()
                kills += 1

    lines = list(lines_of(tmp_path / "logs" / "performance.log"))
    whole = Counter()
    for line in lines:
        with contextlib.suppress(ValueError):
            whole[json.loads(line)["request"]["id"]] += 1
    unlogged = [one for one in load.answered if whole[one] == 0]
    assert kills > 3
    assert len(load.answered) > 100
    assert set(whole.values()) == {1}
    # An response can be out before its line is written: one for each thread that was killed.
    assert len(unlogged) <= kills * 8
    assert len(lines) - whole.total() <= kills


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, which is easy to fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_full_disk_stops_no_request_and_leaves_whole_lines(tmp_path, small_disk):
    variables = environment(tmp_path, LOGS_DIR=str(small_disk / "logs"), LOG_CONSOLE_FORMAT="json")
    manage(variables, "migrate", "--verbosity", "0")
    console = tmp_path / "console"
    with serving(variables, console) as server:
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        while_full = [server.request("GET", "/api/tasks/") for _ in range(300)]
        filler.unlink()
        after = [server.request("GET", "/api/tasks/") for _ in range(20)]

    assert {response.status_code for response in while_full + after} == {401}
    ids = logged_ids(small_disk / "logs")
    assert all(ids[response.headers["X-Request-ID"]] == 1 for response in after)
    assert set(ids.values()) == {1}
    text = console.read_text()
    assert all(response.headers["X-Request-ID"] in text for response in while_full)
    complaints = re.findall(r"^Log file .*?/([a-z_]+\.log): OSError: No space left on device\.", text, re.MULTILINE)
    assert "performance.log" in complaints
    assert max(Counter(complaints).values()) <= 2  # one per worker in its first minute


@pytest.mark.parametrize("folder", ["/proc/cosmo", "/dev/null/cosmo"], ids=["cannot be made", "is no folder"])
def test_service_without_a_log_folder_serves_and_reports_it(tmp_path, folder):
    variables = environment(tmp_path, LOGS_DIR=folder, LOG_CONSOLE_FORMAT="json")
    manage(variables, "migrate", "--verbosity", "0")
    console = tmp_path / "console"
    with serving(variables, console) as server:
        response = server.request("GET", "/api/health/")
        wait_until(lambda: response.headers["X-Request-ID"] in console.read_text())

    assert response.status_code == 200
    assert f"Log file {folder}/performance.log" in console.read_text()
    check = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=PROJECT, env=variables, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0
    assert "backend.W003" in check.stderr
    assert "HINT" in check.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_check_reports_a_folder_that_is_not_writable(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    variables = environment(tmp_path, LOGS_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1")
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "manage.py", "check"]

    check = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=False)

    assert check.returncode == 0, check.stderr
    assert "Permission denied" in check.stderr
    assert "backend.W003" in check.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="files of others take root")
def test_files_created_by_root_belong_to_the_folders_owner(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)

    manage(environment(tmp_path), "check")

    for path in folder.iterdir():
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o640), path
    assert {"info.log", "error.log", "security.log", "performance.log", "digest.log", "digest_err.log"} <= {
        path.name for path in folder.iterdir()
    }
