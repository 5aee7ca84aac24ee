"""The tables of docs/logging.md match the code."""

import logging
import re
from pathlib import Path

import pytest

from api.audit import events
from api.mail.delivery import _STATE_EVENTS
from backend.http.security_log import CATEGORIES
from backend.logging_config import get_logging_config
from tests.live.server import PROJECT

PAGE = (PROJECT / "docs" / "logging.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


EVENTS = rows("Events")


def events_in_code() -> set[str]:
    """Return every event that our modules log."""
    names = (
        {event.value for event in events.Event} | set(CATEGORIES) | {event for _, event, _ in _STATE_EVENTS.values()}
    )
    for package in ("backend", "api", "deploy"):
        for path in Path(PROJECT / package).rglob("*.py"):
            names |= set(re.findall(r'(?:"event": |\bevent(?:, message)? = )"([a-z_]+)"', path.read_text()))
    return names


def test_event_table_has_every_event_and_nothing_else():
    assert {row[0] for row in EVENTS} == events_in_code()


@pytest.mark.parametrize("event", events.Event, ids=str)
def test_event_table_has_message_logger_and_level_of_audit_events(event):
    (row,) = [row for row in EVENTS if row[0] == event.value]

    assert row[1].removesuffix(": {action}") == event.label
    assert row[2] == events.logger_name(event)
    assert row[3] == logging.getLevelName(events.level(event))


@pytest.mark.parametrize("row", EVENTS, ids=[f"{row[0]} {row[3]}" for row in EVENTS])
def test_event_table_has_the_files_of_each_event(log_to, row):
    event, message, logger, level, files, *_ = row
    logs = log_to(debug=True, level="DEBUG") if level == "DEBUG" else log_to()
    is_security = "security" in files
    extra = {"security_event": event} if is_security else {"event": event}

    logging.getLogger(logger).log(logging.getLevelName(level), message, extra=extra)

    assert {name.removesuffix(".log") for name in logs.files_with(event)} == set(files.split(", "))


def test_file_table_has_the_sizes():
    handlers = get_logging_config(logs_dir="/x", service="s", version="1", environment="test", debug=True)["handlers"]
    sizes = {
        name: f"{handler['max_bytes'] // 2**20} MB{', or Monday 00:00 UTC,' if handler['weekly'] else ''} x "
        f"{handler['backup_count']}"
        for name, handler in handlers.items()
        if name.endswith(".log")
    }

    assert {row[0]: row[2] for row in rows("Files")} == sizes
