"""The background jobs, for Celery. Each can run twice without harm, and has a command of the same name for cron."""

from celery import shared_task
from django.conf import settings

from api import cleanup
from api.digests import service
from api.mail.delivery import deliver_due
from api.notifications.services import notify_overdue
from api.operations.job_runs import running


@shared_task(name="api.deliver_mail")
def deliver_mail() -> None:
    with running("deliver_mail"):
        deliver_due()


@shared_task(name="api.send_digests")
def send_digests() -> None:
    if settings.EMAIL_DIGEST_ENABLED:
        with running("send_email_digest"):
            service.send_digests()


@shared_task(name="api.cleanup")
def keep_house() -> None:
    with running("housekeeping"):
        cleanup.run()


@shared_task(name="api.notify_overdue")
def tell_overdue() -> None:
    with running("notify_overdue"):
        notify_overdue()
