"""The background jobs, for Celery. Each can run twice without harm, and has a command of the same name for cron."""

from celery import shared_task
from django.conf import settings

from api import housekeeping
from api.digests import service
from api.mail.delivery import deliver_due
from api.notifications.services import notify_overdue
from backend.sentry_config import capture_task_context


@shared_task(name="api.deliver_mail")
def deliver_mail() -> None:
    capture_task_context("deliver_mail")
    deliver_due()


@shared_task(name="api.send_digests")
def send_digests() -> None:
    capture_task_context("send_email_digest")
    if settings.EMAIL_DIGEST_ENABLED:
        service.send_digests()


@shared_task(name="api.housekeeping")
def keep_house() -> None:
    capture_task_context("housekeeping")
    housekeeping.run()


@shared_task(name="api.notify_overdue")
def tell_overdue() -> None:
    capture_task_context("notify_overdue")
    notify_overdue()
