"""Background job runs: each run is counted, and a failure is logged once."""

import os
import threading

import pytest
from django.core.management import call_command

from api import jobs
from api.models import JobRun
from api.operations.business_counts import count
from api.operations.job_schedule import JOBS
from tests import factories

WORK = {
    "deliver_mail": ["api.mail.delivery.deliver_due", "api.management.commands.deliver_mail.deliver_due"],
    "send_email_digest": ["api.digests.service.send_digests"],
    "notify_overdue": [
        "api.notifications.services.notify_overdue",
        "api.management.commands.notify_overdue.notify_overdue",
    ],
    "cleanup": ["api.cleanup.run"],
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", JOBS)
def test_job_run_is_counted_from_command_and_celery(name):
    call_command(name)
    jobs.TASKS[name]()

    job = JobRun.objects.get(pk=name)
    assert (job.runs, job.failures) == (2, 0)
    assert job.started_at <= job.succeeded_at == job.finished_at


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", JOBS)
def test_job_failure_is_counted_and_logged_once(name, logs, monkeypatch):
    jobs.TASKS[name]()
    succeeded = JobRun.objects.get(pk=name)

    def fail(*_, **__):
        raise ValueError("it broke")

    for function in WORK[name]:
        monkeypatch.setattr(function, fail)
    with pytest.raises(ValueError, match="it broke"):
        call_command(name)

    job = JobRun.objects.get(pk=name)
    assert (job.runs, job.failures, job.succeeded_at) == (2, 1, succeeded.succeeded_at)
    assert job.finished_at > succeeded.finished_at
    entry = logs.entry("error", event="job_failed")
    assert (entry["job"], entry["exception"]["message"]) == (name, "it broke")


@pytest.mark.django_db(transaction=True)
def test_partial_digest_command_is_not_counted_as_a_run():
    user = factories.user()

    call_command("send_email_digest", "--dry-run")
    call_command("send_email_digest", "--user", str(user.pk))
    call_command("send_email_digest", "--date", "2026-05-31")

    assert not JobRun.objects.exists()


@pytest.mark.django_db
def test_disabled_digest_job_is_not_counted_as_a_run(settings):
    settings.EMAIL_DIGEST_ENABLED = False

    jobs.TASKS["send_email_digest"]()

    assert not JobRun.objects.exists()


@pytest.mark.django_db
def test_queued_job_count_is_unknown_without_broker(settings):
    settings.CELERY_BROKER_URL = ""
    assert count()["jobs_queued"] is None

    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    started = threading.active_count()
    assert count()["jobs_queued"] is None
    assert threading.active_count() == started


@pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="needs a broker (make test-services)")
@pytest.mark.django_db
def test_queued_job_count_includes_job_without_worker():
    from api.operations.job_runs import jobs_queued
    from backend.celery import app

    before = jobs_queued()
    queue = "test-of-job-runs"
    app.conf.task_default_queue, original_queue = queue, app.conf.task_default_queue
    try:
        assert jobs_queued() == 0
        app.send_task("api.deliver_mail", queue=queue)
        assert jobs_queued() == 1
    finally:
        with app.connection_for_write() as connection:
            connection.default_channel.queue_purge(queue)
        app.conf.task_default_queue = original_queue
    assert before is not None
