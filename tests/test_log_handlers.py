"""All handlers: a log call never raises, and dropped records are counted and reported."""

import logging
import logging.config
import subprocess
import sys

import pytest

from backend.logging_config import get_logging_config
from backend.logs import handlers
from backend.logs.handlers import ConsoleHandler, GuardedHandler, SharedFileHandler
from backend.telemetry.error_mail import AdminMailHandler
from backend.telemetry.metrics import CountingHandler, render_metrics
from tests.live.server import PROJECT

HANDLERS = (SharedFileHandler, ConsoleHandler, AdminMailHandler, CountingHandler)


@pytest.fixture(params=HANDLERS, ids=lambda kind: kind.__name__)
def handler(request, tmp_path):
    handler = request.param(tmp_path / "info.log") if request.param is SharedFileHandler else request.param()
    yield handler
    handler.close()


@pytest.fixture
def record():
    return logging.LogRecord("api", logging.ERROR, __file__, 1, "A message", None, None)


def lost(label: str) -> float:
    """Return the value of cosmo_log_lines_dropped_total for this handler."""
    line = f'cosmo_log_lines_dropped_total{{file="{label}"}} '
    values = [text.removeprefix(line) for text in render_metrics().decode().splitlines() if text.startswith(line)]
    return float(values[0]) if values else 0.0


def test_failing_filter_drops_and_counts_the_record(handler, record):
    before = lost(handler.label)

    def fail(_: logging.LogRecord) -> bool:
        raise KeyError("canary")

    handler.addFilter(fail)
    handler.handle(record)

    assert handler.dropped == 1
    assert lost(handler.label) == before + 1
    assert "canary" not in handler.last_error


def test_failing_handler_drops_and_counts_the_record(handler, record, monkeypatch):
    before = lost(handler.label)

    def fail(_: logging.LogRecord) -> None:
        raise RecursionError("canary")

    monkeypatch.setattr(handler, "emit", fail)
    handler.handle(record)

    assert handler.dropped == 1
    assert lost(handler.label) == before + 1


def test_failing_drop_listener_stops_neither_the_call_nor_other_listeners(handler, record, monkeypatch):
    heard = []

    def fail(_: str) -> None:
        raise OSError("no space for metrics")

    monkeypatch.setattr(handlers.guard, "drop_listeners", [fail, heard.append])
    handler.addFilter(lambda _: 1 / 0)
    handler.handle(record)

    assert heard == [handler.label]


def test_configured_handlers_are_guarded(tmp_path):
    config = get_logging_config(logs_dir=tmp_path, service="x", version="1", environment="test", mail_admins=True)
    names = {handler["class"] for handler in config["handlers"].values()}

    kinds = [logging.config.BaseConfigurator({}).resolve(name) for name in names]
    assert set(kinds) == set(HANDLERS)
    assert all(issubclass(kind, GuardedHandler) for kind in kinds)
    assert isinstance(logging.lastResort, ConsoleHandler)


def test_object_without_a_text_is_logged_in_every_file(logs):
    class Silent:
        def __str__(self) -> str:
            raise ValueError("no text")

    logging.getLogger("api").warning(Silent())
    logging.getLogger("django.request").warning("A status that is a text", extra={"status": "teapot"})

    messages = [entry["message"] for entry in logs.entries("info")]
    assert messages == ["[Silent that cannot be shown]", "A status that is a text"]
    assert all(h.dropped == 0 for h in logging.root.handlers if isinstance(h, GuardedHandler))


def test_console_handler_ends_when_writing_logs_again():
    """Celery's redirection of stderr does the same: it logs each line written there."""
    script = (
        "import logging, sys; from backend.logs.handlers import ConsoleHandler\n"
        "class Proxy:\n"
        "    def write(self, text): logging.warning(text)\n"
        "    def flush(self): pass\n"
        "logging.root.addHandler(ConsoleHandler()); sys.stderr = Proxy(); logging.warning('x'); print('done')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, timeout=20, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("done\n", 0)


@pytest.mark.parametrize("state", ["2>&-", "2</dev/null"], ids=["closed", "read-only"])
def test_process_without_stderr_runs(state):
    script = (
        "import logging; from backend.logs.handlers import ConsoleHandler; logging.root.addHandler(ConsoleHandler()); "
    )
    command = f'"{sys.executable}" -c "{script} logging.warning(1); print(2)" {state}'

    done = subprocess.run(command, shell=True, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)

    assert (done.stdout, done.returncode) == ("2\n", 0)
