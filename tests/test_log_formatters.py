"""Formatters handle any record, and write what the record contains when they get it."""

import copy
import json
import logging
from datetime import UTC, datetime

import pytest

from backend import request_context
from backend.formatters import JSONFormatter, PerformanceFormatter, SecurityFormatter, TextFormatter
from backend.logs.entries import timestamp
from backend.request_context import RequestContext

FORMATTERS = [JSONFormatter(), SecurityFormatter(), PerformanceFormatter(), TextFormatter()]


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __bool__ = __str__


def make_record(**attributes) -> logging.LogRecord:
    values = {"name": "api", "levelno": logging.INFO, "levelname": "INFO", "msg": "Task created"}
    return logging.makeLogRecord(values | attributes)


def entry_of(record: logging.LogRecord, formatter: logging.Formatter | None = None) -> dict:
    return json.loads((formatter or JSONFormatter()).format(record))


@pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: type(formatter).__name__)
def test_formatter_accepts_a_record_without_values(formatter):
    assert formatter.format(logging.makeLogRecord({}))


@pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda formatter: type(formatter).__name__)
@pytest.mark.parametrize(
    "value",
    [None, 7, object(), Unreadable(), 10**30, "\ud800", float("nan"), ["a"]],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("name", sorted({*vars(make_record()), "event", "security_event", "extra", "duration"}))
def test_formatter_never_raises_whatever_an_attribute_contains(formatter, name, value):
    assert formatter.format(make_record(**{name: value}))


@pytest.mark.parametrize("name", sorted(vars(make_record())))
def test_formatter_never_raises_when_an_attribute_is_missing(name):
    record = make_record()
    delattr(record, name)

    entry = entry_of(record)

    assert name == "msg" or entry["message"] == "Task created"


def test_record_with_a_key_that_is_no_string_keeps_its_message():
    record = make_record()
    vars(record)[7] = "seven"

    entry = entry_of(record)

    assert (entry["message"], entry["7"]) == ("Task created", "seven")


@pytest.mark.parametrize("exc_info", [True, 1, (ValueError,), (1, 2, 3)], ids=str)
def test_record_with_an_exc_info_set_by_hand_keeps_its_message(exc_info):
    entry = entry_of(make_record(exc_info=exc_info))

    assert entry["message"] == "Task created"
    assert "exception" not in entry


def test_exc_info_true_stands_for_the_current_exception():
    try:
        raise ValueError("the reason")
    except ValueError:
        entry = entry_of(make_record(exc_info=True))

    assert entry["exception"]["message"] == "the reason"


def test_record_that_cannot_be_formatted_keeps_what_can_be_read(monkeypatch):
    def fail(value):
        raise RuntimeError("this stands for any error")

    monkeypatch.setattr("backend.logs.entries.hides", fail)
    record = make_record(
        levelname="ERROR", msg="Login with password=%s", args=("hunter2",), module="views", task_id=12, exc_info=None
    )

    entry = entry_of(record, SecurityFormatter())

    assert (entry["level"], entry["logger"], entry["module"]) == ("ERROR", "api", "views")
    assert entry["message"].startswith("Login with password=")
    assert "hunter2" not in entry["message"]
    assert entry["security"]["severity"] == "high"
    assert entry["extra"]["formatting_error"].startswith("TypeError")


def test_formatter_writes_a_field_that_a_later_filter_adds():
    record = make_record()
    assert "task_id" not in entry_of(record)

    record.task_id = 12

    assert entry_of(record)["task_id"] == 12


def test_formatter_writes_a_mask_that_a_later_filter_sets():
    record = make_record(guest="Ada")
    assert entry_of(record)["guest"] == "Ada"

    record.guest = "***"

    assert entry_of(record)["guest"] == "***"


def test_formatter_writes_a_mask_set_inside_a_structure():
    record = make_record(booking={"guest": "Ada"}, msg="Booked by %s", args=({"guest": "Ada"},))
    assert entry_of(record)["booking"] == {"guest": "Ada"}

    record.booking["guest"] = "***"
    record.args[0]["guest"] = "***"

    assert entry_of(record)["booking"] == {"guest": "***"}
    assert "Ada" not in entry_of(record)["message"]


def test_formatter_writes_an_item_added_to_an_empty_list():
    record = make_record(errors=[])
    assert entry_of(record)["errors"] == []

    record.errors.append("late")

    assert entry_of(record)["errors"] == ["late"]


@pytest.mark.parametrize("copy_of", [copy.copy, lambda record: logging.makeLogRecord(vars(record))])
def test_formatter_writes_the_message_of_a_copied_record(copy_of):
    record = make_record()
    assert entry_of(record)["message"] == "Task created"

    other = copy_of(record)
    other.msg = "Task deleted"

    assert entry_of(other)["message"] == "Task deleted"
    assert entry_of(record)["message"] == "Task created"


def test_formatter_writes_the_request_in_which_it_is_called():
    record = make_record()
    assert "request" not in entry_of(record)

    with request_context.activate(RequestContext(request_id="abcdefgh")):
        assert entry_of(record)["request"]["id"] == "abcdefgh"


def test_formatting_adds_nothing_to_the_record():
    record = make_record(task_id=12)
    before = dict(vars(record))

    JSONFormatter().format(record)

    assert vars(record) == before


def test_handlers_of_one_record_share_its_entry():
    record = make_record(task_id=12, slow_queries=[])

    assert JSONFormatter().build_entry(record) is JSONFormatter().build_entry(record)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (1677902297.1, "2023-03-04T03:58:17.100000Z"),
        (1677902297.9999999, "2023-03-04T03:58:18.000000Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
    ],
)
def test_timestamp_is_rounded_to_microseconds(moment, text):
    assert timestamp(moment) == text
    assert abs(datetime.fromisoformat(text) - datetime.fromtimestamp(moment, UTC)).total_seconds() < 1e-6
