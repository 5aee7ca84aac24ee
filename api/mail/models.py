"""The outbox: each email is a row first, written in the transaction that causes it."""

from django.db import models
from django.db.models import Q


class MailState(models.TextChoices):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the connection or process died after the message was sent and before the reply


class OutgoingMail(models.Model):
    """One email to one recipient. Ids are plain numbers, so that rows outlive the objects they name."""

    kind = models.CharField(max_length=40)
    recipient = models.EmailField(max_length=254)
    user_id = models.BigIntegerField(null=True)  # the recipient, if they have an account
    subject = models.CharField(max_length=200)
    text_body = models.TextField()  # emptied after sending, like the next two
    html_body = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    message_id = models.CharField(max_length=255, unique=True)
    # Identifies an email that is sent once, like digest:2026-05-31:42. A second email with this key is not stored.
    once_key = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001 - null means no key

    state = models.CharField(max_length=10, choices=MailState, default=MailState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    data_started_at = models.DateTimeField(null=True)  # just before the mail server receives the message
    finished_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    # The user and the request that caused it, for the log line of the delivery.
    asked_by_id = models.BigIntegerField(null=True)
    asked_by_name = models.CharField(max_length=150, blank=True)
    asked_by_role = models.CharField(max_length=20, blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    traceparent = models.CharField(max_length=55, blank=True)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["next_try_at", "id"], condition=Q(state=MailState.QUEUED), name="mail_due"),
            models.Index(fields=["user_id", "kind", "created_at"], name="mail_of_user"),
            models.Index(fields=["claimed_until"], condition=Q(state=MailState.SENDING), name="mail_claimed"),
        ]
        constraints = [models.CheckConstraint(condition=Q(state__in=MailState.values), name="mail_state_known")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.state})"
