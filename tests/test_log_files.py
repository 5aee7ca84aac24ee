"""The file handler by itself: sizes, weeks, files that vanish, forks. tests/faults has many processes at once."""

import json
import logging
import os
import shutil
from datetime import UTC, datetime

import pytest
import time_machine

from backend.formatters import JSONFormatter
from backend.log_handlers import SharedFileHandler


@pytest.fixture
def log(tmp_path):
    """A function that makes a logger whose file has these limits."""
    handlers = []

    def log(**limits) -> logging.Logger:
        handler = SharedFileHandler(tmp_path / "logs" / "info.log", **limits)
        handler.setFormatter(JSONFormatter())
        handlers.append(handler)
        logger = logging.Logger("test")  # noqa: LOG001 - one that nobody else has
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


def test_the_file_is_there_before_the_first_record(log, folder):
    log()

    assert (folder / "info.log").stat().st_size == 0
    assert (folder / "info.log").stat().st_mode & 0o777 == 0o640


def test_a_full_file_moves_on_and_the_oldest_backup_goes(log, folder):
    logger = log(max_bytes=1_000, backup_count=2)

    for number in range(30):
        logger.info("line %02d", number)

    assert sorted(path.name for path in folder.glob("info*")) == ["info.log", "info.log.1", "info.log.2"]
    assert all(path.stat().st_size <= 1_000 for path in folder.glob("info*"))
    kept = [message for name in ("info.log.2", "info.log.1", "info.log") for message in messages(folder / name)]
    assert kept == [f"line {number:02}" for number in range(30 - len(kept), 30)]


def test_a_line_larger_than_the_limit_has_a_file_of_its_own(log, folder):
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
def test_a_week_ends_on_monday_in_utc(log, folder, last_written, now, is_rotated):
    logger = log(weekly=True, backup_count=7)
    logger.info("old")
    moment = datetime.fromisoformat(last_written).timestamp()
    os.utime(folder / "info.log", (moment, moment))

    with time_machine.travel(datetime.fromisoformat(now).astimezone(UTC)):
        logger.info("new")

    assert (folder / "info.log.1").exists() is is_rotated
    assert messages(folder / "info.log")[-1] == "new"


def test_without_limits_the_file_is_left_to_others(log, folder):
    logger = log()

    for _ in range(100):
        logger.info("x" * 1_000)

    assert [path.name for path in folder.glob("info*")] == ["info.log"]


def test_a_file_that_somebody_renamed_is_left_for_the_one_that_bears_its_name(log, folder):
    logger = log()
    logger.info("before")
    (folder / "info.log").rename(folder / "info.log.1")
    logger.info("between")
    (folder / "info.log").touch()

    logger.info("after")

    assert messages(folder / "info.log.1") == ["before", "between"]
    assert messages(folder / "info.log") == ["after"]


def test_a_folder_that_vanishes_is_made_again(log, folder):
    logger = log()
    logger.info("before")
    shutil.rmtree(folder)

    logger.info("after")

    assert messages(folder / "info.log") == ["after"]


def test_a_symbolic_link_is_not_followed(log, folder, tmp_path, capsys):
    folder.mkdir()
    (tmp_path / "precious").touch()
    (folder / "info.log").symlink_to(tmp_path / "precious")

    log().info("x")

    assert (tmp_path / "precious").read_text() == ""
    assert "info.log" in capsys.readouterr().err


def test_a_child_process_writes_into_the_same_file(log, folder):
    logger = log()
    logger.info("parent")
    child = os.fork()
    if child == 0:
        logger.info("child")
        os._exit(0)
    os.waitpid(child, 0)

    logger.info("parent again")

    assert messages(folder / "info.log") == ["parent", "child", "parent again"]


def test_trouble_is_told_once_a_minute_and_counted(log, folder, capsys):
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
