"""Password reset by an emailed single-use link, requested by the user or an administrator.

The API, the web pages and the admin actions share this service.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator, default_token_generator
from django.db import transaction
from django.dispatch import receiver
from django.utils.http import urlsafe_base64_decode

from api.accounts import throttle
from api.accounts.devices import forget_devices
from api.accounts.login import hashed_login
from api.accounts.mails import INVITATION, RESET, build_reset_mail
from api.accounts.services import apply_password
from api.audit.events import Event
from api.audit.trail import log_summarized, record
from api.common.errors import Conflict, Invalid, TooManyAttempts
from api.common.locking import lock_rows
from api.mail.delivery import mail_state_changed
from api.mail.models import MailState, OutgoingMail
from api.mail.outbox import enqueue
from api.users.login_names import normalize_login
from api.users.models import User
from api.users.passwords import check_new_password
from api.users.selectors import find_login, get_user


def request_reset(*, email: str) -> None:
    """Send an email with a link to the active account of this address. The caller learns nothing about it.

    Reset requests have their own counters in the login throttle. Above the limits, no email and no row is written.
    """
    try:
        throttle.count_request("password reset", email)
    except TooManyAttempts:
        log_summarized(Event.PASSWORD_RESET_FAILED, reason="too many requests")
        return
    account = find_login(email) if "@" in normalize_login(email) else None
    user = account if account is not None and account.is_active else None
    with transaction.atomic():
        detail = "" if account else f"unknown account {hashed_login(email)}"
        record(Event.PASSWORD_RESET_REQUESTED, actor=None, target=account, detail=detail)
        enqueue(build_reset_mail(user))


@transaction.atomic
def send_reset(*, actor: User, user_id: int) -> OutgoingMail:
    """Send a reset email on behalf of an administrator. Raise Denied, or Conflict if the account is disabled."""
    user = get_user(actor=actor, pk=user_id, rule="users.send_reset")
    if not user.is_active:
        raise Conflict(f"{user} is disabled. Activate the account first.", code="user_disabled")
    record(Event.PASSWORD_RESET_REQUESTED, actor=actor, target=user, by_administrator=True)
    return enqueue(build_reset_mail(user), asked_by=actor)


class InvalidLink(Invalid, throttle.InvalidCredentials):
    """The emailed link is invalid, was used or has expired."""

    def __init__(self) -> None:
        super().__init__({"token": "This link is not valid. Request a new one."}, code="invalid_link")


def confirm_reset(*, uid: str, token: str, new_password: str) -> None:
    """Set the password as `validate_link` does, and count an invalid link for the network in the login throttle."""
    with throttle.count_attempt():
        validate_link(uid=uid, token=token, new_password=new_password)


def validate_link(*, uid: str, token: str, new_password: str) -> None:
    """Set the password with what a link holds. Raise InvalidLink, or Invalid if the password is too weak."""
    try:
        with transaction.atomic():
            user = _decode_user(uid)
            if user is not None:
                lock_rows(User.objects.filter(pk=user.pk))
            user = _link_user(uid, token)
            if user is None:
                raise InvalidLink
            check_new_password(new_password, user, field="new_password")
            forget_devices(user)
            apply_password(user, new_password, actor=user, event=Event.PASSWORD_RESET_COMPLETED)
    except InvalidLink:
        record_invalid_link(uid=uid, token=token)
        raise
    except Invalid:
        _record_failure(_decode_user(uid), "weak password")
        raise


def record_invalid_link(*, uid: str, token: str) -> None:
    """Write a row for an invalid link that was used; it names a user only if the link was made for them."""
    _record_failure(*_rejection_reason(uid, token))


def log_invalid_link(*, uid: str, token: str) -> None:
    """Write a log line, and no row, for an invalid link that was only opened."""
    _, reason = _rejection_reason(uid, token)
    log_summarized(Event.PASSWORD_RESET_FAILED, reason=reason)


def _record_failure(user: User | None, reason: str) -> None:
    # In a new transaction: that of the rejected change was rolled back.
    with transaction.atomic():
        record(Event.PASSWORD_RESET_FAILED, actor=None, target=user, detail=reason, facts={"reason": reason})


def _decode_user(uid: str) -> User | None:
    try:
        pk = int(urlsafe_base64_decode(uid).decode())
    except (ValueError, UnicodeDecodeError):
        return None
    return User.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None


def _link_user(uid: str, token: str) -> User | None:
    user = _decode_user(uid)
    return user if user and user.is_active and default_token_generator.check_token(user, token) else None


class _TokensWithoutExpiry(PasswordResetTokenGenerator):
    """Verifies the signature of a token alone: its clock is set before any token was created."""

    def _now(self) -> datetime:
        return datetime(2001, 1, 1)  # noqa: DTZ001 - naive, as Django's


def _rejection_reason(uid: str, token: str) -> tuple[User | None, str]:
    """Return why a link is invalid, and its user if the signature proves that the link was made for them.

    A used link cannot be verified: its signature covers the password that it changed.
    """
    user = _decode_user(uid)
    if user is None or not _TokensWithoutExpiry().check_token(user, token):
        return None, "invalid or used"
    return user, "expired" if user.is_active else "disabled account"


@dataclass(frozen=True)
class _Requester:
    """The user who requested the email, as stored with the email."""

    pk: int
    username: str
    role: str


@receiver(mail_state_changed, dispatch_uid="api.accounts.password_reset")
def record_mail_state(mail: OutgoingMail, **_: Any) -> None:
    """Record whether a reset email was sent or failed, and who requested it."""
    if mail.kind not in {RESET, INVITATION} or mail.state == MailState.QUEUED:
        return
    requester = _Requester(mail.asked_by_id, mail.asked_by_name, mail.asked_by_role) if mail.asked_by_id else None
    target = User.objects.filter(pk=mail.user_id or 0).first()
    people: dict[str, Any] = {"actor": requester, "target": target, "by_administrator": requester is not None}
    if mail.state == MailState.SENT:
        by = requester.username if requester else "(self-service)"
        message = f"{Event.PASSWORD_RESET_EMAIL_SENT.label} to {mail.recipient} by {by}"
        record(Event.PASSWORD_RESET_EMAIL_SENT, message=message, facts={"mail_id": mail.pk}, **people)
    else:
        facts = {"mail_id": mail.pk, "reason": mail.last_error}
        record(Event.PASSWORD_RESET_EMAIL_FAILED, detail=mail.last_error, facts=facts, **people)
