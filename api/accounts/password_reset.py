"""Setting a new password by a link in a mail: asked for by its owner or by an administrator, and used once.

One service for the API, the web pages, the buttons and the bulk action.
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

    Above the limits of the login throttle, which count reset requests on their own, there is neither email nor row.
    """
    try:
        throttle.count_request("password reset", email)
    except TooManyAttempts:
        log_summarized(Event.PASSWORD_RESET_FAILED, reason="too many requests")
        return
    found = find_login(email) if "@" in normalize_login(email) else None
    user = found if found is not None and found.is_active else None
    with transaction.atomic():
        detail = "" if found else f"unknown account {hashed_login(email)}"
        record(Event.PASSWORD_RESET_REQUESTED, actor=None, target=found, detail=detail)
        enqueue(build_reset_mail(user))


@transaction.atomic
def send_reset(*, actor: User, user_id: int) -> OutgoingMail:
    """What an administrator asks for. Denied by the rules; Conflict for a disabled account."""
    user = get_user(actor=actor, pk=user_id, rule="users.send_reset")
    if not user.is_active:
        raise Conflict(f"{user} is disabled. Enable the account first.", code="user_disabled")
    record(Event.PASSWORD_RESET_REQUESTED, actor=actor, target=user, by_administrator=True)
    return enqueue(build_reset_mail(user), asked_by=actor)


class InvalidLink(Invalid, throttle.InvalidCredentials):
    """The link of an email that is not valid, or no longer."""

    def __init__(self) -> None:
        super().__init__({"token": "This link is not valid any more. Request a new one."}, code="invalid_link")


def confirm_reset(*, uid: str, token: str, new_password: str) -> None:
    """Set the password as `use_link` does, and count an invalid link for the network in the login throttle."""
    with throttle.count_attempt():
        validate_link(uid=uid, token=token, new_password=new_password)


def validate_link(*, uid: str, token: str, new_password: str) -> None:
    """Set the password with what a link holds. Raise InvalidLink, or Invalid if the password is too weak."""
    try:
        with transaction.atomic():
            user = _user(uid)
            if user is not None:
                lock_rows(User.objects.filter(pk=user.pk))
            user = _user_of_link(uid, token)
            if user is None:
                raise InvalidLink
            check_new_password(new_password, user, field="new_password")
            forget_devices(user)
            apply_password(user, new_password, actor=user, event=Event.PASSWORD_RESET_COMPLETED)
    except InvalidLink:
        record_invalid_link(uid=uid, token=token)
        raise
    except Invalid:
        _record_failure(_user(uid), "weak password")
        raise


def record_invalid_link(*, uid: str, token: str) -> None:
    """Write a row for an invalid link that was used; it names a user only if the link was made for them."""
    _record_failure(*_rejection_reason(uid, token))


def log_invalid_link(*, uid: str, token: str) -> None:
    """Write a log line, and no row, for an invalid link that was only opened."""
    _, reason = _rejection_reason(uid, token)
    log_summarized(Event.PASSWORD_RESET_FAILED, reason=reason)


def _record_failure(user: User | None, reason: str) -> None:
    # In a transaction of its own: that of the refused change was rolled back.
    with transaction.atomic():
        record(Event.PASSWORD_RESET_FAILED, actor=None, target=user, detail=reason, facts={"reason": reason})


def _user(uid: str) -> User | None:
    try:
        pk = int(urlsafe_base64_decode(uid).decode())
    except (ValueError, UnicodeDecodeError):
        return None
    return User.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None


def _user_of_link(uid: str, token: str) -> User | None:
    user = _user(uid)
    return user if user and user.is_active and default_token_generator.check_token(user, token) else None


class _TokensWithoutExpiry(PasswordResetTokenGenerator):
    """Verifies the signature of a token alone: its clock stands still before any token was made."""

    def _now(self) -> datetime:
        return datetime(2001, 1, 1)  # noqa: DTZ001 - naive, as Django's


def _rejection_reason(uid: str, token: str) -> tuple[User | None, str]:
    """Return why a link is invalid, and its user if the signature proves that the link was made for them.

    A used link cannot be verified: its signature covers the password that it changed.
    """
    user = _user(uid)
    if user is None or not _TokensWithoutExpiry().check_token(user, token):
        return None, "invalid or used"
    return user, "expired" if user.is_active else "disabled account"


@dataclass(frozen=True)
class _Requester:
    """Whoever pressed the button, as the mail remembers him."""

    pk: int
    username: str
    role: str


@receiver(mail_state_changed, dispatch_uid="api.accounts.password_reset")
def record_mail_state(mail: OutgoingMail, **_: Any) -> None:
    """What became of the mail, with the name of whoever asked for it."""
    if mail.kind not in {RESET, INVITATION} or mail.state == MailState.QUEUED:
        return
    asker = _Requester(mail.asked_by_id, mail.asked_by_name, mail.asked_by_role) if mail.asked_by_id else None
    target = User.objects.filter(pk=mail.user_id or 0).first()
    known: dict[str, Any] = {"actor": asker, "target": target, "by_administrator": asker is not None}
    if mail.state == MailState.SENT:
        by = asker.username if asker else "(self-service)"
        message = f"{Event.PASSWORD_RESET_EMAIL_SENT.label} to {mail.recipient} by {by}"
        record(Event.PASSWORD_RESET_EMAIL_SENT, message=message, facts={"mail_id": mail.pk}, **known)
    else:
        facts = {"mail_id": mail.pk, "reason": mail.last_error}
        record(Event.PASSWORD_RESET_EMAIL_FAILED, detail=mail.last_error, facts=facts, **known)
