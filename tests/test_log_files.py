"""The file handler in one process: sizes, weeks, deleted files, forks. tests/faults runs many processes."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic
from unittest import mock

import pytest
import time_machine

from backend.formatters import JSONFormatter
from backend.logs.handlers import SharedFileHandler, locks
from backend.logs.handlers.locks import FileLock


@pytest.fixture
def log(tmp_path):
    """Return a function that creates a logger whose file has the given limits."""
    handlers = []

    def log(**limits) -> logging.Logger:
        handler = SharedFileHandler(tmp_path / "logs" / "info.log", **limits)
        handler.setFormatter(JSONFormatter())
        handlers.append(handler)
        logger = logging.Logger("test")  # noqa: LOG001 - no other test shares it
        logger.addHandler(handler)
        return logger

    yield log
    for handler in handlers:
        handler.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs"


def messages(path) -> list[str]:
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def test_handler_creates_its_file_before_the_first_record(log, folder):
    log()

    assert (folder / "info.log").stat().st_size == 0
    assert (folder / "info.log").stat().st_mode & 0o777 == 0o640


def test_handler_rotates_a_full_file_and_deletes_the_oldest_backup(log, folder):
    logger = log(max_bytes=1_000, backup_count=2)

    for number in range(30):
        logger.info("line %02d", number)

    assert sorted(path.name for path in folder.glob("info*")) == ["info.log", "info.log.1", "info.log.2"]
    assert all(path.stat().st_size <= 1_000 for path in folder.glob("info*"))
    kept = [message for name in ("info.log.2", "info.log.1", "info.log") for message in messages(folder / name)]
    assert kept == [f"line {number:02}" for number in range(30 - len(kept), 30)]


def test_line_larger_than_the_limit_gets_its_own_file(log, folder):
    logger = log(max_bytes=100, backup_count=3)

    logger.info("first")
    logger.info("second")

    assert messages(folder / "info.log.1") == ["first"]
    assert messages(folder / "info.log") == ["second"]


@pytest.mark.parametrize(
    ("last_written", "now", "is_rotated"),
    [
        ("2026-05-31T23:59:59Z", "2026-06-01T00:00:01Z", True),  # Sunday, Monday
        ("2026-06-01T00:00:01Z", "2026-06-07T23:59:59Z", False),  # Monday, Sunday
        ("2026-05-01T12:00:00Z", "2026-06-03T12:00:00Z", True),
    ],
)
def test_weekly_rotation_happens_on_monday_in_utc(log, folder, last_written, now, is_rotated):
    logger = log(weekly=True, backup_count=7)
    logger.info("old")
    moment = datetime.fromisoformat(last_written).timestamp()
    os.utime(folder / "info.log", (moment, moment))

    with time_machine.travel(datetime.fromisoformat(now).astimezone(UTC)):
        logger.info("new")

    assert (folder / "info.log.1").exists() is is_rotated
    assert messages(folder / "info.log")[-1] == "new"


def test_handler_without_limits_does_not_rotate(log, folder):
    logger = log()

    for _ in range(100):
        logger.info("x" * 1_000)

    assert [path.name for path in folder.glob("info*")] == ["info.log"]


def test_handler_leaves_a_renamed_file_for_the_new_one(log, folder):
    logger = log()
    logger.info("before")
    (folder / "info.log").rename(folder / "info.log.1")
    logger.info("between")
    (folder / "info.log").touch()

    logger.info("after")

    assert messages(folder / "info.log.1") == ["before", "between"]
    assert messages(folder / "info.log") == ["after"]


def test_handler_recreates_a_deleted_file(log, folder):
    logger = log()
    logger.info("before")
    (folder / "info.log").unlink()

    logger.info("after")

    assert messages(folder / "info.log") == ["after"]


def test_handler_repeats_a_line_whose_file_is_deleted_during_the_write(log, folder, monkeypatch):
    logger = log()
    logger.info("before")
    write = os.write

    def delete_first(*arguments: object) -> int:
        (folder / "info.log").unlink(missing_ok=True)
        monkeypatch.undo()
        return write(*arguments)

    monkeypatch.setattr(os, "write", delete_first)
    logger.info("after")

    assert messages(folder / "info.log") == ["after"]


def test_handler_leaves_a_replaced_file_for_the_new_one(log, folder):
    logger = log()
    logger.info("before")
    (folder / "new").touch()
    (folder / "new").rename(folder / "info.log")

    logger.info("after")

    assert messages(folder / "info.log") == ["after"]


@contextlib.contextmanager
def held(lock) -> Iterator[None]:
    """Hold the lock like another process. A flock belongs to the open file, so this process can hold it, too."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def short_lock_timeouts(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.3)
    monkeypatch.setattr(locks, "SHORT_TIMEOUT", 0.01)
    monkeypatch.setattr(FileLock, "_process_waits_less_until", 0.0)


@pytest.mark.usefixtures("short_lock_timeouts")
def test_line_without_the_lock_is_dropped_and_counted(log, folder, capsys):
    logger = log()
    (handler,) = logger.handlers
    logger.info("before")

    with held(folder / ".info.log.lock"):
        logger.info("lost")
        assert "has dropped 1 line; they are on the console" in capsys.readouterr().err
    logger.info("after")

    assert messages(folder / "info.log") == ["before", "after"]
    assert (handler.written, handler.dropped) == (2, 1)
    assert handler.last_error == "BlockingIOError: Another process holds .info.log.lock"


@pytest.mark.usefixtures("short_lock_timeouts")
def test_locks_of_other_processes_cost_one_wait_per_process(tmp_path):
    handlers = [SharedFileHandler(tmp_path / f"{name}.log") for name in ("a", "b", "c")]
    with contextlib.ExitStack() as stack:
        for name in ("a", "b", "c"):
            stack.enter_context(held(tmp_path / f".{name}.log.lock"))
        started = monotonic()
        for _ in range(20):
            for handler in handlers:
                handler.handle(logging.makeLogRecord({"msg": "x"}))
        seconds = monotonic() - started
    for handler in handlers:
        handler.close()

    assert [handler.dropped for handler in handlers] == [20, 20, 20]
    assert 0.3 <= seconds < 0.6


@pytest.mark.usefixtures("short_lock_timeouts")
def test_handler_reports_drops_when_writing_succeeds_again(log, folder, capsys):
    logger = log()
    with held(folder / ".info.log.lock"):
        for _ in range(5):
            logger.info("lost")
    in_a_minute = monotonic() + 61
    with mock.patch("time.monotonic", return_value=in_a_minute):
        logger.info("after")

    first, last = capsys.readouterr().err.splitlines()
    assert "has dropped 1 line;" in first
    assert "Lines are written again." in last
    assert "has dropped 5 lines;" in last


def test_handler_recreates_a_deleted_lock_file(log, folder):
    logger = log()
    logger.info("before")
    (folder / ".info.log.lock").unlink()
    logger.info("after")

    with held(folder / ".info.log.lock"), mock.patch.object(locks, "LOCK_TIMEOUT", 0.01):
        logger.info("lost")

    assert messages(folder / "info.log") == ["before", "after"]


@pytest.fixture
def immovable(log, folder, monkeypatch):
    """A logger with three backups whose file is full and cannot be renamed, like a mount point."""
    logger = log(max_bytes=400, backup_count=3)
    for number in (1, 2, 3):
        (folder / f"info.log.{number}").write_text(f"backup {number}")
    rename = os.rename

    def fail(source: object, target: object) -> None:
        if str(source) == str(folder / "info.log"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    return logger


def test_file_that_cannot_be_renamed_grows_and_keeps_its_backups(immovable, folder, capsys):
    for number in range(30):
        immovable.info("line %d", number)

    (handler,) = immovable.handlers
    assert messages(folder / "info.log") == [f"line {number}" for number in range(30)]
    assert [(folder / f"info.log.{number}").read_text() for number in (1, 2, 3)] == ["backup 1", "backup 2", "backup 3"]
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".info.log.lock"]
    assert (handler.dropped, handler.last_error) == (0, "cannot be rotated, OSError: Device or resource busy")
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be rotated, OSError: Device or resource busy. The file grows" in line


def test_failed_rotation_is_retried_after_a_minute(immovable, folder, monkeypatch):
    immovable.info("first")
    immovable.info("second")
    monkeypatch.undo()
    immovable.info("third")
    assert messages(folder / "info.log") == ["first", "second", "third"]

    in_a_minute = monotonic() + 61
    with mock.patch("time.monotonic", return_value=in_a_minute):
        immovable.info("fourth")

    (handler,) = immovable.handlers
    assert messages(folder / "info.log") == ["fourth"]
    assert messages(folder / "info.log.1") == ["first", "second", "third"]
    assert (folder / "info.log.2").read_text() == "backup 1"
    assert handler.last_error == ""


@pytest.mark.parametrize("step", range(8))
@pytest.mark.parametrize("backup_count", [0, 3])
def test_rotation_that_stops_at_any_step_loses_nothing(log, folder, monkeypatch, step, backup_count):
    logger = log(max_bytes=400, backup_count=backup_count)
    for number in range(1, backup_count + 1):
        (folder / f"info.log.{number}").write_text(f"backup {number}")
    logger.info("live")
    steps = []

    def failing(call):
        def fail(*arguments: object, **options: object) -> object:
            steps.append(call)
            if len(steps) > step:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*arguments, **options)

        return fail

    for name in ("rename", "unlink"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    logger.info("next")
    monkeypatch.undo()

    kept = {path.read_text() for path in folder.glob("info.log*")}
    texts = " ".join(kept)
    oldest = {f"backup {backup_count}"} if step >= 7 else set()
    assert "next" in texts
    if backup_count or step < 3:
        assert "live" in texts
    assert {f"backup {number}" for number in range(1, backup_count + 1)} - kept <= oldest


def test_interrupted_rotation_is_finished_by_the_next_one(log, folder):
    logger = log(max_bytes=400, backup_count=3)
    (folder / "info.log.0").write_text("moved")
    (folder / "info.log.1").write_text("older")
    logger.info("live")

    logger.info("next")

    assert messages(folder / "info.log.1") == ["live"]
    assert [(folder / f"info.log.{number}").read_text() for number in (2, 3)] == ["moved", "older"]


def test_line_of_a_signal_handler_follows_the_interrupted_line(log, folder, monkeypatch):
    logger = log()
    write = os.write

    def interrupted(*arguments: object) -> int:
        monkeypatch.undo()
        logger.info("signal")
        return write(*arguments)

    monkeypatch.setattr(os, "write", interrupted)
    logger.info("line")

    assert messages(folder / "info.log") == ["line", "signal"]


def test_handler_recreates_a_deleted_folder(log, folder):
    logger = log()
    logger.info("before")
    shutil.rmtree(folder)

    logger.info("after")

    assert messages(folder / "info.log") == ["after"]


def test_handler_does_not_follow_a_symbolic_link(log, folder, tmp_path, capsys):
    folder.mkdir()
    (tmp_path / "precious").touch()
    (folder / "info.log").symlink_to(tmp_path / "precious")

    log().info("x")

    assert (tmp_path / "precious").read_text() == ""
    assert "info.log" in capsys.readouterr().err


def test_child_process_writes_to_the_same_file(log, folder):
    logger = log()
    logger.info("parent")
    child = os.fork()
    if child == 0:
        logger.info("child")
        os._exit(0)
    os.waitpid(child, 0)

    logger.info("parent again")

    assert messages(folder / "info.log") == ["parent", "child", "parent again"]


def test_handler_reports_errors_once_a_minute_and_counts_drops(log, folder, capsys):
    logger = log()
    (handler,) = logger.handlers
    shutil.rmtree(folder)
    folder.write_text("a file where the folder was")
    handler.close_files()

    for _ in range(100):
        logger.info("lost")

    assert (handler.written, handler.dropped) == (0, 100)
    assert handler.last_error == "FileExistsError: File exists"
    assert capsys.readouterr().err.count("\n") == 1
    folder.unlink()
    logger.info("found")
    assert messages(folder / "info.log") == ["found"]


def test_handler_locks_the_new_folder_when_the_old_one_is_moved(log, folder):
    logger = log()
    (handler,) = logger.handlers
    logger.info("before")
    folder.rename(folder.with_name("moved"))
    logger.info("after")

    with held(folder / ".info.log.lock"), mock.patch.object(locks, "LOCK_TIMEOUT", 0.01):
        logger.info("lost")

    assert messages(folder.with_name("moved") / "info.log") == ["before", "after"]
    assert (handler.written, handler.dropped) == (2, 1)
