"""`manage.py logs` shows the selected records and reads little else; `test_logging` names missing records."""

import gzip
import json
import logging
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import psutil
import pytest
from django.core.management import CommandError, call_command

from tests.live.server import PROJECT, environment
from tests.logs import Logs, wait_until


def line(message: str, *, ago: timedelta = timedelta(), **values) -> str:
    moment = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"timestamp": moment, "level": "INFO", "logger": "api", "message": message} | values) + "\n"


@pytest.fixture
def folder(tmp_path, settings) -> Path:
    settings.LOGS_DIR = tmp_path
    return tmp_path


def run_logs(*arguments: str) -> list[str]:
    output = StringIO()
    call_command("logs", *arguments, "--json", stdout=output)
    return [json.loads(each)["message"] for each in output.getvalue().splitlines()]


def test_logs_merges_files_by_time_without_duplicates(folder):
    minutes = [timedelta(minutes=number) for number in range(6)]
    event = line("in both", ago=minutes[2], security_event="login_success")
    (folder / "info.log.1").write_text(line("oldest", ago=minutes[5]))
    (folder / "info.log").write_text(line("info", ago=minutes[4]) + event)
    (folder / "security.log").write_text(line("security", ago=minutes[3]) + event)
    (folder / "performance.log").write_text(line("performance", ago=minutes[1]))
    os.utime(folder / "info.log.1", (0, 0))

    assert run_logs() == ["oldest", "info", "security", "in both", "performance"]
    assert run_logs("--lines", "2") == ["in both", "performance"]
    assert run_logs("info") == ["oldest", "info", "in both"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--level", "warning"], ["b", "c"]),
        (["--level", "ERROR"], ["c"]),
        (["--logger", "api"], ["a", "b"]),
        (["--logger", "api.security"], ["b"]),
        (["--event", "failed_login"], ["b"]),
        (["--user", "7"], ["a", "b", "c"]),
        (["--user", "8"], ["c"]),
        (["--request-id", "abcdefgh"], ["c"]),
        (["--since", "30m"], ["c"]),
        (["--since", "2h"], ["b", "c"]),
        (["--since", "2h", "--level", "ERROR"], ["c"]),
        (["--since", "7d", "--lines", "1"], ["c"]),
    ],
)
def test_logs_filters_records(folder, arguments, expected):
    (folder / "info.log").write_text(
        line("a", ago=timedelta(hours=3), user_id=7)
        + line("b", ago=timedelta(hours=1), level="WARNING", logger="api.security", event="failed_login", user_id=7)
        + line(
            "c",
            level="ERROR",
            logger="apiary",
            user_id=8,
            target_user_id=7,
            request={"id": "abcdefgh", "user_id": 9},
        )
    )

    assert run_logs(*arguments) == expected


def test_logs_reads_compressed_files_and_skips_half_lines(folder):
    (folder / "info.log.2.gz").write_bytes(gzip.compress(line("packed", ago=timedelta(hours=2)).encode()))
    os.utime(folder / "info.log.2.gz", ((datetime.now(UTC) - timedelta(hours=2)).timestamp(),) * 2)
    (folder / "info.log").write_text('{"half\n' + line("whole") + '{"half')

    assert run_logs() == ["packed", "whole"]
    assert run_logs("--since", "3h") == ["packed", "whole"]


def test_logs_since_reads_a_small_part_of_the_files(folder):
    one = line("x" * 500)
    with (folder / "performance.log").open("w") as file:
        for number in range(100_000):
            ago = timedelta(days=7) * (1 - number / 100_000)
            file.write(line("x" * 500, ago=ago))
    process = psutil.Process()
    before = process.io_counters().read_chars

    messages = run_logs("performance", "--since", "1h")

    read = process.io_counters().read_chars - before
    assert len(messages) == pytest.approx(100_000 / 7 / 24, abs=2)
    assert read < 100_000 * len(one) / 20
    before = process.io_counters().read_chars
    assert len(run_logs("performance", "-n", "20")) == 20
    assert process.io_counters().read_chars - before < 1_000_000


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--level", "LOUD"], ["--user", "ada"]])
def test_logs_rejects_invalid_arguments(folder, arguments):
    with pytest.raises(CommandError, match="argument"):
        call_command("logs", *arguments)


def start(folder: Path, *arguments: str, **options) -> "subprocess.Popen[str]":
    variables = environment(folder, LOGS_DIR=str(folder))
    command = [sys.executable, "manage.py", "logs", *arguments]
    return subprocess.Popen(command, cwd=PROJECT, env=variables, text=True, **options)


def test_logs_follow_continues_after_a_rotation(folder):
    (folder / "info.log").write_text(line("before"))
    output = folder / "output"
    with output.open("w") as file:
        process = start(folder, "info", "--follow", "--json", stdout=file)
    try:
        wait_until(lambda: "before" in output.read_text())
        with (folder / "info.log").open("a") as file:
            file.write(line("appended"))
        wait_until(lambda: "appended" in output.read_text())
        with (folder / "info.log").open("a") as file:
            file.write(line("last of the old"))
        (folder / "info.log").rename(folder / "info.log.1")
        (folder / "info.log").write_text(line("first of the new"))
        wait_until(lambda: "first of the new" in output.read_text())
    finally:
        process.terminate()
        process.wait()

    messages = [json.loads(each)["message"] for each in output.read_text().splitlines()]
    assert messages == ["before", "appended", "last of the old", "first of the new"]


def test_logs_colors_a_terminal_and_escapes_control_characters(folder):
    (folder / "info.log").write_text(line("it \x1b[2Jbroke \x012J", level="ERROR", note="\x01\x02\x9b2J"))
    ours, theirs = pty.openpty()

    start(folder, stdout=theirs).wait()

    text = os.read(ours, 10_000).decode()
    assert "\x1b[31mERROR" in text
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert "it ?[2Jbroke ?2J" in text


def test_logs_accepts_a_closed_pipe(folder):
    (folder / "info.log").write_text(line("x" * 1000) * 1000)

    process = start(folder, "--lines", "1000", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()

    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


def test_test_logging_shows_where_each_record_arrived(log_to, settings, capsys):
    logs = log_to(debug=True, level="DEBUG")
    settings.LOGS_DIR = logs.folder

    call_command("test_logging")

    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 14
    assert all(row.startswith("ok") for row in rows)
    assert any("security event" in row and row.endswith("security.log") for row in rows)


def test_test_logging_fails_and_names_missing_records(log_to, settings, capsys, tmp_path):
    (tmp_path / "a-file").touch()
    log_to(folder=tmp_path / "a-file" / "logs")
    settings.LOGS_DIR = tmp_path / "a-file" / "logs"

    with pytest.raises(SystemExit) as stop:
        call_command("test_logging")

    printed = capsys.readouterr()
    assert stop.value.code == 1
    assert printed.out.count("MISSING") == 13
    assert "Not a directory" in printed.out
    assert "manage.py check" in printed.err


def test_test_logging_names_the_level_as_the_reason(log_to, settings, capsys):
    logs: Logs = log_to(level="ERROR")
    settings.LOGS_DIR, settings.LOG_LEVEL = logs.folder, "ERROR"

    with pytest.raises(SystemExit):
        call_command("test_logging")

    assert "LOG_LEVEL is ERROR" in capsys.readouterr().out
    logging.getLogger("api").error("still here")
    assert logs.entry("error", message="still here")
