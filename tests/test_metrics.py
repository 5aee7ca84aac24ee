"""/metrics: the values of all workers, for Prometheus only."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from prometheus_client import CONTENT_TYPE_LATEST

from api.mail.outbox import MailDraft, enqueue
from api.models import OutgoingMail
from api.operations import views
from api.operations.business_counts import BusinessCounts
from backend.telemetry import metrics, process_metrics
from tests import factories
from tests.conftest import client_of
from tests.live.server import environment, fresh_database, migrate, serving
from tests.logs import wait_until

TOKEN = "a-token-of-machines"


def samples(text: str) -> dict[str, float]:
    """{"name{labels}": value}"""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def scrape(client, db, settings):
    """Return a function that scrapes /metrics like Prometheus."""
    settings.METRICS_TOKEN = TOKEN

    def scrape() -> dict[str, float]:
        response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        return samples(response.content.decode())

    return scrape


def test_requests_are_counted_by_route_method_and_status_class(scrape, manager):
    name = 'cosmo_http_requests_total{method="GET",route="api/tasks/<id:pk>/",status="%s"}'
    before = scrape()
    task = factories.task()
    for pk in (task.pk, task.pk, 10**6):
        manager.get(f"/api/tasks/{pk}/")

    after = scrape()

    assert after[name % "2xx"] - before.get(name % "2xx", 0) == 2
    assert after[name % "4xx"] - before.get(name % "4xx", 0) == 1
    counts = 'cosmo_http_request_duration_seconds_count{method="GET",route="api/tasks/<id:pk>/"}'
    assert after[counts] - before.get(counts, 0) == 3
    queries = 'cosmo_database_queries_total{route="api/tasks/<id:pk>/"}'
    assert after[queries] > before.get(queries, 0)


@pytest.mark.usefixtures("logs")
def test_log_events_are_counted(scrape):
    names = ['cosmo_log_events_total{event="failed_login"}', 'cosmo_log_records_total{level="WARNING"}']
    before = scrape()

    logging.getLogger("api.security").warning("Failed login attempt", extra={"event": "failed_login"})

    after = scrape()
    assert [after[name] - before.get(name, 0) for name in names] == [1, 1]


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("event", ["\ud800", "a\nb", "a" * 10_000, "\0", 7, ["a"]], ids=repr)
def test_invalid_event_values_break_neither_log_call_nor_scrape(scrape, event):
    logging.getLogger("api").info("Odd", extra={"event": event})

    assert scrape()


@pytest.mark.parametrize("what", ["resident_bytes", "_open_files"])
def test_sampling_failure_breaks_no_request_and_is_logged_once(scrape, client, logs, monkeypatch, what):
    def fail() -> None:
        raise RuntimeError("no sample")

    monkeypatch.setattr(process_metrics, what, fail)
    monkeypatch.setattr(process_metrics, "SAMPLED_EVERY", 0)
    monkeypatch.setattr(metrics, "_logged", set())

    for _ in range(3):
        assert client.get("/nowhere/").status_code == 404
        assert scrape()

    assert len(logs.entries("error", event="metrics_failed", message="Request not counted")) == 1
    assert len(logs.entries("error", event="metrics_failed", message="Process not sampled")) == 1


def test_scrape_leaves_out_values_that_cannot_be_counted(scrape, monkeypatch):
    """No thread can be started, and the log disk fails."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    def break_disk(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    wait_until(lambda: "cosmo_tasks_overdue" in scrape())
    monkeypatch.setattr("api.operations.service_status.shutil.disk_usage", break_disk)
    assert "cosmo_logs_disk_free_ratio" not in scrape()

    monkeypatch.setattr(views, "BUSINESS_COUNTS", BusinessCounts())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert "cosmo_tasks_overdue" not in scrape()
    wait_until(lambda: "cosmo_tasks_overdue" in scrape())


def test_unknown_paths_and_methods_create_no_labels(scrape, client):
    for number in range(20):
        client.get(f"/nowhere/{number}/")
        client.generic(f"ODD{number}", "/api/tasks/")

    names = scrape()

    assert not any("nowhere" in name or "ODD" in name for name in names)
    assert any('method="other"' in name for name in names)


def test_number_of_label_values_is_limited(monkeypatch):
    monkeypatch.setattr(metrics, "MAX_NAMES", 2)
    monkeypatch.setattr(metrics, "_names", {"route": set()})

    assert [metrics._capped("route", name) for name in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]


def test_business_counts_appear_after_the_background_count(scrape, manager):
    factories.task(status="completed")
    wait_until(lambda: "cosmo_tasks_overdue" in scrape())

    values = scrape()

    assert {name for name in values if name.startswith("cosmo_tasks{")} == {
        f'cosmo_tasks{{status="{status}"}}' for status in ("pending", "in_progress", "completed", "canceled")
    }
    assert values["cosmo_mails_waiting"] == 0
    assert values['cosmo_job_last_success_timestamp_seconds{job_name="send_email_digest"}'] == 0
    assert 0 < values["cosmo_logs_disk_free_ratio"] <= 1


ACCEPTS = {
    "Prometheus 3": (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "text 0.0.4": "text/plain;version=0.0.4",
    "text": "text/plain",
    "OpenMetrics": "application/openmetrics-text;version=1.0.0",
    "OpenMetrics or text": "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5",
    "JSON": "application/json",
    "HTML": "text/html",
    "anything": "*/*",
    "nothing": "",
    "slash": "/",
    "comma": ",",
    "word": "text",
    "no weight": "text/plain;q=",
    "latin-1": "text/\xff",
    "long": "text/plain," * 600,
}


@pytest.mark.parametrize("accept", [*ACCEPTS.values(), None], ids=[*ACCEPTS, "missing"])
def test_metrics_are_text_for_every_accept_header(client, db, settings, accept):
    settings.METRICS_TOKEN = TOKEN
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({} if accept is None else {"Accept": accept})

    response = client.get("/metrics", headers=headers)

    assert (response.status_code, response.headers["Content-Type"]) == (200, CONTENT_TYPE_LATEST)
    assert "cosmo_log_events_total" in response.content.decode()


@pytest.mark.parametrize(("token", "status"), [("", 401), ("wrong", 401), (TOKEN + "x", 401), (TOKEN, 200)])
def test_metrics_require_the_token(client, db, settings, token, status):
    settings.METRICS_TOKEN = TOKEN

    response = client.get("/metrics", headers={"Authorization": f"Bearer {token}", "Host": "10.0.0.7"})

    assert response.status_code == status
    if status == 401:
        assert response.headers["Content-Type"] == "application/problem+json"


def test_metrics_reject_empty_token_when_none_is_configured(client, db):
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert client_of(factories.user(role="superuser")).get("/metrics").status_code == 200


def test_scrape_adds_up_workers_and_forgets_killed_ones(tmp_path):
    variables = environment(tmp_path, METRICS_TOKEN=TOKEN)
    migrate(variables)
    name = 'cosmo_http_requests_total{method="GET",route="none",status="4xx"}'
    with serving(variables, tmp_path / "log") as server:

        def scrape() -> dict[str, float]:
            response = server.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            return samples(response.text)

        before = scrape().get(name, 0)
        for _ in range(100):
            server.request("GET", "/nowhere/")
        assert scrape()[name] - before == 100

        master = psutil.Process(server.process.pid)
        workers = master.children()
        for worker in workers:
            worker.kill()
        psutil.wait_procs(workers, timeout=10)
        wait_until(lambda: len(master.children()) == 2)
        time.sleep(0.5)
        after = scrape()
        one_worker = psutil.Process(master.children()[0].pid).memory_info().rss

    assert after[name] - before == 100
    assert after["cosmo_worker_memory_bytes"] < 3 * one_worker
    assert not any("pid=" in name for name in after)


@pytest.mark.fault  # takes some seconds
def test_recycled_workers_continue_counters_and_leave_no_series(tmp_path):
    files = tmp_path / "metrics"
    files.mkdir()
    variables = environment(tmp_path, METRICS_TOKEN=TOKEN, PROMETHEUS_MULTIPROC_DIR=str(files))
    migrate(variables)
    name = 'cosmo_http_requests_total{method="GET",route="none",status="4xx"}'
    with serving(variables, tmp_path / "log", options=("--max-requests", "20", "--max-requests-jitter", "0")) as server:
        master = psutil.Process(server.process.pid)
        first = {worker.pid for worker in master.children()}

        def scrape() -> dict[str, float]:
            return samples(server.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)

        before = scrape().get(name, 0)
        for _ in range(200):
            server.request("GET", "/nowhere/")
        wait_until(lambda: not first & {worker.pid for worker in master.children()})
        after = scrape()

    assert after[name] - before == 200
    assert 1 <= after["cosmo_workers"] <= 2
    assert after["cosmo_worker_cpu_seconds_total"] > 0
    assert after["cosmo_worker_open_files"] > 5
    kinds = [file.name.rpartition("_")[0] for file in files.iterdir()]
    assert kinds.count("counter") <= 3  # the places of two workers, and of one that ended while its successor started


def test_throttled_login_attempts_are_counted(scrape, client):
    names = [f'cosmo_login_attempts_throttled_total{{limit="{limit}"}}' for limit in ("name", "network", "ceiling")]
    before = scrape()
    body = {"username": "nobody", "password": "wrong"}
    for _ in range(7):
        client.post("/api/auth/login/", body, headers={"X-Forwarded-For": "192.0.2.7"})

    after = scrape()

    assert [after[name] - before[name] for name in names] == [2, 0, 0]


@pytest.mark.usefixtures("logs")
def test_summary_record_counts_every_summarized_event(scrape):
    name = 'cosmo_log_events_total{event="suspicious_pattern"}'
    before = scrape()

    extra = {"event": "suspicious_pattern", "summarized_count": 500}
    logging.getLogger("api.security").warning("Suspicious request", extra=extra)

    assert scrape()[name] - before[name] == 500


@pytest.mark.django_db(transaction=True)
def test_emails_and_jobs_are_counted_by_kind(scrape, monkeypatch):
    monkeypatch.setattr(views, "BUSINESS_COUNTS", BusinessCounts())
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    for state in ("sent", "failed", "queued"):
        mail = enqueue(MailDraft(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
        OutgoingMail.objects.filter(pk=mail.pk).update(state=state)
    call_command("cleanup")
    wait_until(lambda: "cosmo_mails_waiting" in scrape())

    values = scrape()

    assert [values[f'cosmo_mails{{kind="test",state="{state}"}}'] for state in ("sent", "failed", "queued")] == [
        1,
        1,
        1,
    ]
    assert values["cosmo_mails_waiting"] == 1
    assert values['cosmo_job_runs_total{job_name="cleanup",result="ok"}'] == 1
    assert time.time() - values['cosmo_job_last_success_timestamp_seconds{job_name="cleanup"}'] < 60


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no pool (make test-services)")
def test_exhausted_pool_is_counted(tmp_path):
    small = {"DB_POOL_MIN_SIZE": "1", "DB_POOL_MAX_SIZE": "1", "DB_POOL_TIMEOUT": "1", "WEB_CONCURRENCY": "1"}
    with fresh_database(tmp_path) as database:
        variables = environment(tmp_path, METRICS_TOKEN=TOKEN, DATABASE_URL=database, **small)
        migrate(variables)
        with serving(variables, tmp_path / "log") as server:

            def log_in(_: int) -> int:
                body = {"username": "nobody", "password": "wrong"}
                return server.request("POST", "/api/auth/login/", json=body).status_code

            with psycopg.connect(database) as holder, ThreadPoolExecutor(4) as threads:
                holder.execute("LOCK TABLE api_user")  # the only connection waits for this lock
                assert set(threads.map(log_in, range(4))) == {503}
            text = server.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text

    values = samples(text)
    assert values['cosmo_database_pool_events_total{event="timed_out"}'] >= 1
    assert values['cosmo_database_pool_events_total{event="waited"}'] >= 1
    assert values['cosmo_database_pool_events_total{event="not_connected"}'] == 0
    assert sum(values[f'cosmo_database_pool_connections{{state="{state}"}}'] for state in ("idle", "busy")) == 1
