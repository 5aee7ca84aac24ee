"""The outbox: every mail that leaves is a row first, written in the transaction that causes it."""

from django.db import models
from django.db.models import Q


class MailState(models.TextChoices):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the connection, or we, died after the message was handed over and before the answer


class OutgoingMail(models.Model):
    """One message to one person. Ids are plain numbers: what they speak of may go."""

    kind = models.CharField(max_length=40)
    recipient = models.EmailField(max_length=254)
    user_id = models.BigIntegerField(null=True)  # the recipient, where he is one of ours
    subject = models.CharField(max_length=200)
    text_body = models.TextField()  # this and the next two are emptied once it is sent
    html_body = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    message_id = models.CharField(max_length=255, unique=True)
    # What must happen once, like digest:2026-05-31:42; a second mail with the same key is not made.
    once_key = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001 - null is no key

    state = models.CharField(max_length=10, choices=MailState, default=MailState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    data_started_at = models.DateTimeField(null=True)  # the mail server was about to get the message
    finished_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    # Whoever asked for it, for the line that says that it was sent.
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
