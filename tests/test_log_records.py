"""One record is one line of valid JSON with the specified keys, whatever values the caller passes."""

import json
import logging
import re
import sys
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from backend import request_context
from backend.formatters import JSONFormatter, PerformanceFormatter, SecurityFormatter
from backend.logs.handlers import SharedFileHandler
from backend.request_context import RequestContext

ALWAYS = ["timestamp", "level", "logger", "message", "module", "function", "line", "process", "thread", "thread_name"]


def logged(logs, **extra) -> dict:
    logging.getLogger("api").info("Something happened", extra=extra)
    return logs.entries("info")[-1]


def line_of(formatter: logging.Formatter, *, name: str = "api", level: int = logging.INFO, **extra) -> dict:
    record = logging.getLogger(name).makeRecord(name, level, "views.py", 12, "Hello", (), None, "login", extra)
    return json.loads(formatter.format(record))


def test_record_has_the_specified_keys_in_their_order(logs):
    before = datetime.now(UTC)

    logging.getLogger("api").info("Task created successfully", extra={"task_id": 123, "user_id": 42, "property_id": 10})

    entry = logs.entry("info", message="Task created successfully")
    assert list(entry) == [*ALWAYS, "environment", "trace_id", "span_id", "task_id", "user_id", "property_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["timestamp"])
    assert before <= datetime.fromisoformat(entry["timestamp"]) <= datetime.now(UTC)
    assert (entry["level"], entry["logger"]) == ("INFO", "api")
    assert (entry["module"], entry["function"]) == ("test_log_records", sys._getframe().f_code.co_name)
    assert entry["environment"] == {"debug": False, "service": "cosmo-backend", "version": "1.0.0", "name": "test"}
    assert (entry["task_id"], entry["user_id"], entry["property_id"]) == (123, 42, 10)
    assert all(isinstance(entry[name], int) for name in ("line", "process", "thread"))


def test_records_match_the_samples_of_the_specification(logs):
    admin = logging.getLogger("api.admin")
    admin.info(
        "Password reset email sent to user@example.com by admin",
        extra={"user_id": 1, "target_user_id": 2, "ip_address": "127.0.0.1", "user_agent": "Mozilla/5.0..."},
    )
    admin.warning(
        "Permission denied: Manager attempted direct password change",
        extra={
            "user_id": 3,
            "user_role": "manager",
            "attempted_action": "password_change",
            "ip_address": "127.0.0.1",
        },
    )
    logging.getLogger("api").info(
        "User action",
        extra={"action": "create_task", "user_id": 4, "task_data": {"title": "New task", "priority": "high"}},
    )

    sent, denied, action = logs.entries("info")
    assert sent["message"] == "Password reset email sent to user@example.com by admin"
    facts = [sent[name] for name in ("user_id", "target_user_id", "ip_address", "user_agent")]
    assert facts == [1, 2, "127.0.0.1", "Mozilla/5.0..."]
    assert (denied["user_role"], denied["attempted_action"]) == ("manager", "password_change")
    assert logs.entry("error", user_id=3)["message"].startswith("Permission denied")
    assert action["task_data"] == {"title": "New task", "priority": "high"}


def test_record_has_blocks_for_measures(logs):
    logging.getLogger("api.performance").info(
        "Slow request detected", extra={"duration": 1500, "queries_count": 25, "memory_usage": 150.5}
    )

    entry = logs.entry("performance")
    assert entry["performance"] == {"duration_ms": 1500, "slow_query": False, "category": "normal"}
    assert entry["database"] == {"queries_count": 25, "queries_time_ms": None, "slow_queries": []}
    assert entry["memory"] == {"usage_mb": 150.5}
    assert not {"duration", "queries_count", "memory_usage"} & set(entry)


def test_record_has_a_block_for_a_security_event(logs):
    logging.getLogger("api.security").warning(
        "Failed login attempt",
        extra={"security_event": "failed_login", "security_category": "authentication", "attempt_count": 3},
    )

    entry = logs.entry("security")
    assert list(entry)[:4] == ["timestamp", "level", "logger", "event"]
    assert entry["event"] == "failed_login"
    assert entry["security"] == {"event_type": "failed_login", "category": "authentication", "severity": "medium"}
    assert entry["attempt_count"] == 3


def test_record_names_its_request(logs):
    context = RequestContext(request_id="abcdefgh", ip_address="192.0.2.7", user_agent="Mozilla/5.0...")
    request_context.set_current(context)
    request_context.set_user(42)
    try:
        entry = logged(logs)
    finally:
        request_context.set_current(None)

    assert list(entry)[10:] == ["environment", "request", "performance", "trace_id", "span_id"]
    assert list(entry["request"]) == ["id", "method", "path", "route", "user_id", "user_agent", "remote_addr"]
    assert (entry["request"]["id"], entry["request"]["user_id"]) == ("abcdefgh", 42)
    assert list(entry["performance"]) == ["duration_ms", "slow_query"]
    assert entry["performance"]["duration_ms"] >= 0
    assert re.fullmatch("[0-9a-f]{32}", entry["trace_id"])
    assert "request" not in logged(logs)


def test_record_has_the_exception_with_its_cause(logs):
    try:
        try:
            _ = {}["inner"]
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        logging.getLogger("api").exception("It failed")

    exception = logs.entry("error")["exception"]
    assert list(exception) == ["type", "message", "traceback"]
    assert (exception["type"], exception["message"]) == ("builtins.ValueError", "outer")
    assert "KeyError: 'inner'" in exception["traceback"]
    assert "direct cause" in exception["traceback"]


def keep_only_our_handlers(monkeypatch) -> None:
    """Remove pytest's handlers, which raise if the standard library's formatter raises."""
    ours = [handler for handler in logging.root.handlers if isinstance(handler, SharedFileHandler)]
    monkeypatch.setattr(logging.root, "handlers", ours)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileMapping(dict):
    def items(self):
        raise RuntimeError("no items")


def cycle() -> dict:
    loop: dict = {"name": "loop"}
    loop["self"] = [loop]
    return loop


def deep() -> list:
    nest: list = []
    for _ in range(5_000):
        nest = [nest]
    return nest


HOSTILE = {
    "cycle": cycle(),
    "nan": float("nan"),
    "infinity": float("-inf"),
    "a large integer": 10**400,
    "a very large integer": 10**40_000,
    "a lone surrogate": "a\ud800b",
    "a lone surrogate as a name": {"\ud800": 1},
    "separators": "a\u2028b\u2029c\u0085d\x00e\x7ff\x1bg\u202eh\r\ni",
    "a megabyte": "x" * 2**20,
    "a megabyte of control characters": "\x01" * 2**20,
    "a megabyte of emoji": "\U0001f600" * 2**18,
    "a million numbers": list(range(10**6)),
    "wide and deep": [[[[list(range(100)) for _ in range(50)] for _ in range(50)]]],
    "no text": Hostile(),
    "no items": HostileMapping(a=1),
    "a name without text": {Hostile(): 1, None: 2, (1, 2): 3},
    "depth": deep(),
    "bytes": b"\xff\xfe",
    "types": [uuid.UUID(int=1), Decimal("1.10"), datetime(2026, 1, 1, tzinfo=UTC), {1, 2}, object, ...],
    "a class": Hostile,
    "a generator": (n for n in range(3)),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["extra", "nested", "argument", "message", "exception"])
def test_record_is_one_valid_line_for_any_value(logs, monkeypatch, name, where):
    keep_only_our_handlers(monkeypatch)
    value = HOSTILE[name]
    logger = logging.getLogger("api")
    if where == "extra":
        logger.error("Strange", extra={"value": value})
    elif where == "nested":
        logger.error("Strange", extra={"value": {"inner": [value]}})
    elif where == "argument":
        logger.error("Strange %s", value)
    elif where == "message":
        logger.error(value)
    else:
        logger.error("Strange", exc_info=ValueError(value))

    raw = (logs.folder / "info.log").read_bytes()
    assert raw.endswith(b"\n")
    assert len(raw) <= 64 * 1024
    text = raw.decode("utf-8")
    assert len(text.splitlines()) == 1  # splitlines also splits at U+2028 and similar characters
    entry = json.loads(text)
    assert entry["level"] == "ERROR"
    assert {"timestamp", "logger", "message"} <= set(entry)
    assert raw.startswith(b'{"timestamp":"')


def test_long_value_is_cut_with_a_mark(logs):
    entry = logged(logs, note="x" * 2**20)

    assert entry["note"].startswith("xxxx")
    assert entry["note"].endswith("[cut from 1048576 characters]")


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "msg",
        "args",
        "message",
        "asctime",
        "lineno",
        "exc_info",
        "levelname",
        "process",
        "module",
        "taskName",
        "timestamp",
        "level",
        "logger",
        "environment",
        "request",
        "performance",
        "trace_id",
        "span_id",
        "exception",
        "security",
    ],
)
def test_reserved_name_goes_into_extra(logs, name):
    entry = logged(logs, **{name: "mine"})

    assert entry["extra"] == {name: "mine"}
    assert entry["message"] == "Something happened"
    assert entry["level"] == "INFO"


def test_field_named_extra_is_merged_with_reserved_names(logs):
    assert logged(logs, extra={"a": 1}, name="mine")["extra"] == {"a": 1, "name": "mine"}
    assert logged(logs, event={"not": "a name"})["extra"] == {"event": {"not": "a name"}}


@pytest.mark.parametrize(("message", "args"), [("%d items", ("many",)), ("%s and %s", ("one",)), ("100%", (1,))])
def test_message_is_written_with_arguments_that_do_not_fit(logs, monkeypatch, message, args):
    keep_only_our_handlers(monkeypatch)
    logging.getLogger("api").info(message, *args)

    (entry,) = logs.entries("info")
    assert message in entry["message"]
    assert str(args[0]) in entry["message"]


def test_formatters_differ_in_their_blocks():
    assert "security" not in line_of(JSONFormatter())
    assert line_of(SecurityFormatter())["security"] == {
        "event_type": "unspecified",
        "category": "general",
        "severity": "low",
    }
    assert line_of(JSONFormatter(), duration=5)["duration"] == 5
    assert line_of(PerformanceFormatter(), duration=5)["performance"]["duration_ms"] == 5
    assert line_of(PerformanceFormatter(), name="api.performance", level=logging.WARNING)["performance"] == {
        "duration_ms": None,
        "slow_query": False,
        "category": "slow",
    }


def test_console_line_is_short_enough_for_docker(log_to, capsys):
    log_to(console="json")

    logging.getLogger("api").error("Long", extra={"a": "x" * 9_000, "b": "y" * 9_000})

    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) < 16 * 1024
    assert json.loads(line)["message"] == "Long"
