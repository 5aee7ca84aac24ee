"""Several processes write to a standard error that has a slow reader or none."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import requests

from tests.faults.writers import PROJECT, WRITERS
from tests.live.server import environment, manage
from tests.logs import wait_until

pytestmark = pytest.mark.fault
LINES = 300  # of each writer
SIZES = ("300", "4096", "9000", "14000")  # bytes
WITHOUT_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$@"', "sh")
METRICS_TOKEN = "m" * 40


@contextmanager
def writing_to(stream: int, *, lines: int = LINES, sizes: tuple[str, ...] = SIZES, inside: tuple[str, ...] = ()):
    """Run four processes that start to log to this descriptor at the same moment."""
    command = [*inside, sys.executable, "-m", "tests.faults.console_writer"]
    writers = [
        subprocess.Popen(
            [*command, str(number), str(lines), *sizes],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.close()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()


def read_all(stream: int, *, slowly: bool = False) -> bytes:
    """Read until the last writer has closed the stream."""
    parts = []
    while part := os.read(stream, 2_000 if slowly else 65_536):
        parts.append(part)
        if slowly:
            time.sleep(0.0001)
    return b"".join(parts)


def records_of(text: bytes) -> list[dict]:
    """Parse every line as a record; fail if a line is no record."""
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def pipe() -> tuple[int, int]:
    return os.pipe()


def journal() -> tuple[int, int]:
    """Return a socket like the one that systemd gives to a unit."""
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("make", [pipe, journal])
@pytest.mark.parametrize("slowly", [False, True], ids=["fast reader", "slow reader"])
def test_long_lines_of_several_processes_stay_whole(make, slowly):
    reader, stream = make()
    with writing_to(stream) as writers:
        os.close(stream)
        records = records_of(read_all(reader, slowly=slowly))
        counts = [tuple(map(int, writer.stdout.read().split())) for writer in writers]
    os.close(reader)

    found = [(record["writer"], record["number"]) for record in records if "number" in record]
    assert len(found) == len(set(found)) == sum(written for written, _ in counts)
    assert sum(written + dropped for written, dropped in counts) == WRITERS * LINES
    if not slowly:
        assert set(found) == {(writer, number) for writer in range(WRITERS) for number in range(LINES)}
    assert max(len(json.dumps(record)) for record in records) > 14_000


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding /proc takes root")
def test_long_lines_stay_whole_when_the_pipe_cannot_be_reopened():
    """This happens without /proc, or if the pipe belongs to another user."""
    reader, stream = pipe()
    with writing_to(stream, inside=WITHOUT_PROC) as writers:
        os.close(stream)
        records = records_of(read_all(reader))
        assert [writer.stdout.read() for writer in writers] == [f"{LINES} 0\n"] * WRITERS
    os.close(reader)

    assert len(records) == WRITERS * LINES


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding /proc takes root")
def test_lines_do_not_wait_when_the_pipe_cannot_be_reopened():
    reader, stream = pipe()
    with writing_to(stream, inside=WITHOUT_PROC) as writers:
        counts = [tuple(map(int, writer.stdout.read().split())) for writer in writers]
        os.close(stream)
        records = records_of(read_all(reader))
    os.close(reader)

    assert all(written + dropped == LINES for written, dropped in counts)
    assert len([record for record in records if "number" in record]) == sum(written for written, _ in counts)


def test_pipe_too_small_for_a_line_is_enlarged():
    reader, stream = pipe()
    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4_096)
    with writing_to(stream, lines=50, sizes=("14000",)):
        os.close(stream)
        records = records_of(read_all(reader))
    os.close(reader)

    assert len(records) == WRITERS * 50


@pytest.mark.parametrize("attempt", range(3))
def test_killed_writers_damage_no_line_of_others(attempt):
    reader, stream = pipe()
    with writing_to(stream, sizes=("14000",)) as writers:
        os.close(stream)
        text = b""
        while len(text) < 300_000 * (attempt + 1):
            text += os.read(reader, 65_536)
        time.sleep(0.1)  # the pipe is full, and all writers wait
        for writer in writers[:3]:
            writer.kill()
        text += read_all(reader)
    os.close(reader)

    last = [record["number"] for record in records_of(text) if record.get("writer") == 3]
    assert last == list(range(LINES))


@pytest.mark.parametrize("make", [pipe, journal])
def test_line_without_a_reader_waits_half_a_second_once_and_is_counted(make):
    reader, stream = make()
    started = time.monotonic()
    with writing_to(stream, lines=2_000, sizes=("300",)) as writers:
        counts = [tuple(map(int, writer.stdout.read().split())) for writer in writers]
        seconds = time.monotonic() - started
        os.close(stream)
        records = records_of(read_all(reader))
    os.close(reader)

    assert seconds < 10
    assert all(written + dropped == 2_000 for written, dropped in counts)
    assert len(records) == sum(written for written, _ in counts)


def test_first_line_after_a_reader_returns_gives_the_number_of_drops(tmp_path):
    script = (
        "import logging, sys; from backend.logs.handlers import ConsoleHandler; "
        "from backend.formatters import JSONFormatter; handler = ConsoleHandler(); "
        "handler.setFormatter(JSONFormatter()); logging.root.addHandler(handler)\n"
        "for _ in range(1_000): logging.warning('A line', extra={'padding': 'x' * 1_000})\n"
        "print(handler.dropped, flush=True); sys.stdin.readline(); logging.warning('back')\n"
    )
    reader, stream = pipe()
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True
    ) as process:
        os.close(stream)
        dropped = int(process.stdout.readline())
        records_of(os.read(reader, 1_000_000))  # everything in the pipe
        process.stdin.write("go\n")
        process.stdin.close()
        after = records_of(read_all(reader))
    os.close(reader)

    assert dropped > 900
    assert [record["message"] for record in after] == ["Console lines were dropped", "back"]
    assert after[0]["dropped"] == dropped


@contextmanager
def serving_to_nobody(variables: dict[str, str], *, workers: int = 2) -> Iterator[subprocess.Popen]:
    """Run gunicorn as deployed. Its stderr is a full pipe without a reader."""
    reader, stream = pipe()
    os.set_blocking(stream, False)
    while True:
        try:
            os.write(stream, b"x" * 4_095 + b"\n")
        except BlockingIOError:
            break
    os.set_blocking(stream, True)
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "backend.wsgi:application"]
    process = subprocess.Popen(command, cwd=PROJECT, env=variables, stdout=stream, stderr=stream)
    os.close(stream)
    try:
        yield process
    finally:
        for child in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        os.close(reader)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_server_without_a_console_reader_serves_counts_and_stops(tmp_path):
    variables = environment(tmp_path, LOG_CONSOLE_FORMAT="json", METRICS_TOKEN=METRICS_TOKEN)
    manage(variables, "migrate", "--verbosity", "0")
    url = f"http://{variables['WEB_BIND']}"
    with serving_to_nobody(variables) as process:
        wait_until(lambda: answers(f"{url}/api/health/live/"), seconds=40)
        seconds = []
        for _ in range(100):
            started = time.monotonic()
            assert requests.get(f"{url}/api/tasks/", timeout=10).status_code == 401
            seconds.append(time.monotonic() - started)
        assert answers(f"{url}/api/health/live/")
        metrics = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=10).text
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        ended_after = time.monotonic() - started

    dropped = float(re.search(r'^cosmo_log_lines_dropped_total\{file="console"\} (\S+)$', metrics, re.MULTILINE)[1])
    assert dropped >= 100
    assert max(seconds) < 2
    assert sum(sorted(seconds)[:-4]) < 10
    assert ended_after < 10
    lines = (tmp_path / "logs" / "performance.log").read_text().splitlines()
    assert len([line for line in lines if '"/api/tasks/"' in line]) == 100
