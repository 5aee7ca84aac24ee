"""Four writers on log files that cannot be rotated, are deleted, or are copied by another program for long."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.writers import WRITERS, count_lines, writing

pytestmark = pytest.mark.fault
LINES = 2_000  # of each writer
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and attributes take root")


def all_lines(lines: int = LINES) -> set[tuple[int, int]]:
    return {(writer, number) for writer in range(WRITERS) for number in range(lines)}


@pytest.fixture
def path(tmp_path) -> Path:
    """A log file with two backups."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"info.log.{number}").write_text(json.dumps({"backup": number}) + "\n")
    (folder / "info.log").touch()
    return folder / "info.log"


def write_and_expect_growth(path: Path, capfd) -> None:
    """Write lines, and expect all of them in the one file and unchanged backups."""
    with writing("ours", path, lines=LINES, max_bytes=20_000):
        pass

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["writer"], line["number"]) for line in lines} == all_lines()
    assert len(lines) == WRITERS * LINES
    backups = {file.name: file.read_text() for file in path.parent.glob("info.log.*")}
    assert backups == {f"info.log.{number}": json.dumps({"backup": number}) + "\n" for number in (1, 2)}
    reports = capfd.readouterr().err.splitlines()
    assert len(reports) == WRITERS  # one per minute and process
    assert all("cannot be rotated" in line for line in reports)


@needs_root
def test_bind_mounted_file_grows_and_keeps_its_backups(path, tmp_path, capfd):
    (tmp_path / "elsewhere.log").touch()
    subprocess.run(["mount", "--bind", str(tmp_path / "elsewhere.log"), str(path)], check=True)
    try:
        write_and_expect_growth(path, capfd)
    finally:
        subprocess.run(["umount", str(path)], check=True)


@needs_root
def test_append_only_file_grows_and_keeps_its_backups(path, capfd):
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+a", str(path)], check=False).returncode:
        pytest.skip("this file system has no attributes")
    try:
        write_and_expect_growth(path, capfd)
    finally:
        subprocess.run(["chattr", "-a", str(path)], check=True)


@pytest.mark.parametrize("victim", ["info.log", ".info.log.lock", "."], ids=["file", "lock", "folder"])
def test_deleted_file_costs_no_other_line(path, victim):
    """This test keeps deleted files open to read their lines: the writers must lose no other lines."""
    opened = []
    with writing("ours", path, lines=LINES * 5) as writers:
        while all(writer.poll() is None for writer in writers):
            time.sleep(0.02)
            if path.exists():
                opened.append(os.open(path, os.O_RDONLY))
                if victim == ".":
                    path.parent.rename(path.parent.with_name(f"old-{len(opened)}"))
                    shutil.rmtree(path.parent.with_name(f"old-{len(opened)}"))
                else:
                    (path.parent / victim).unlink(missing_ok=True)
    if path.exists():
        opened.append(os.open(path, os.O_RDONLY))

    line_counts = set()
    for descriptor in {os.fstat(descriptor).st_ino: descriptor for descriptor in opened}.values():
        with os.fdopen(os.dup(descriptor), "rb") as file:
            line_counts |= {(line["writer"], line["number"]) for line in map(json.loads, file.read().splitlines())}
    for descriptor in opened:
        os.close(descriptor)
    assert len(opened) > 5
    assert line_counts == all_lines(LINES * 5)


def test_lines_during_a_long_external_copy_are_kept_or_counted(path, capfd):
    """Hold the lock for copytruncate longer than writers wait. Lines in neither copy nor file must be counted."""
    script = 'sleep 8; cp "$1" "$1.copied"; : >"$1"'
    command = ["flock", str(path.with_name(".info.log.lock")), "sh", "-c", script, "sh", str(path)]
    with writing("ours", path, lines=40, pause=300) as writers:
        time.sleep(0.5)
        started = time.monotonic()
        subprocess.run(command, check=True)
        held_for = time.monotonic() - started
        counts = [tuple(map(int, writer.stdout.read().split())) for writer in writers]

    line_counts, torn = count_lines(path)
    reports = capfd.readouterr().err
    assert held_for < 12
    assert torn == 2  # the two backups, which contain no records of writers
    assert set(line_counts.values()) == {1}
    assert len(line_counts) == sum(written for written, _ in counts)
    assert sum(dropped for _, dropped in counts) == WRITERS * 40 - len(line_counts)
    assert all(1 <= dropped < 30 for _, dropped in counts)
    assert reports.count("BlockingIOError: Another process holds .info.log.lock. Process") == WRITERS


def test_stopped_process_with_the_exclusive_lock_costs_counted_lines(path):
    """The process may be about to truncate the file, so its lock must be respected."""
    holder = subprocess.Popen(["flock", str(path.with_name(".info.log.lock")), "sleep", "60"], start_new_session=True)
    try:
        time.sleep(0.3)
        os.killpg(holder.pid, signal.SIGSTOP)
        started = time.monotonic()
        with writing("ours", path, lines=500) as writers:
            counts = [tuple(map(int, writer.stdout.read().split())) for writer in writers]
        seconds = time.monotonic() - started
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()

    assert counts == [(0, 500)] * WRITERS
    assert path.read_text() == ""
    assert seconds < 15


def test_stopped_process_with_a_shared_lock_only_delays_rotation(path):
    lock = path.with_name(".info.log.lock")
    holder = subprocess.Popen(["flock", "--shared", str(lock), "sleep", "60"], start_new_session=True)
    try:
        time.sleep(0.3)
        os.killpg(holder.pid, signal.SIGSTOP)
        started = time.monotonic()
        with writing("ours", path, lines=500, max_bytes=20_000):
            pass
        seconds = time.monotonic() - started
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()

    assert len(path.read_text().splitlines()) == WRITERS * 500
    assert seconds < 15
