"""Setting a new password by a link in a mail: asked for by its owner or by an administrator, and used once.

One service for the API, the web pages, the buttons and the bulk action.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.dispatch import receiver
from django.utils.http import base36_to_int, urlsafe_base64_decode

from api.audit.events import Event
from api.audit.models import AuditEntry
from api.audit.trail import record
from api.common import rules
from api.common.errors import Conflict, Invalid
from api.mail.delivery import delivery_told
from api.mail.models import MailState, OutgoingMail
from api.mail.outbox import enqueue
from api.users.mails import INVITATION, RESET, reset_letter
from api.users.models import User
from api.users.selectors import find_login, get_user
from api.users.services import check_new_password, give_password
from api.users.sign_in import unknown_login

_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # of Django's tokens


def request_reset(*, email: str) -> None:
    """What anybody may ask for. Who has no account, or a disabled one, gets nothing; nothing tells the difference."""
    found = find_login(email) if "@" in email else None
    user = found if found is not None and found.is_active else None
    with transaction.atomic():
        detail = "" if found else f"unknown account {unknown_login(email)}"
        record(Event.PASSWORD_RESET_REQUESTED, actor=None, target=found, detail=detail)
        enqueue(reset_letter(user))


@transaction.atomic
def send_reset(*, actor: User, user_id: int) -> OutgoingMail:
    """What an administrator asks for. Denied by the rules; Conflict for a disabled account."""
    user = get_user(actor=actor, pk=user_id, rule="users.send_reset")
    if not user.is_active:
        raise Conflict(f"{user} is disabled. Enable the account first.", code="user_disabled")
    record(Event.PASSWORD_RESET_REQUESTED, actor=actor, target=user, by_administrator=True)
    return enqueue(reset_letter(user), asked_by=actor)


def user_of_link(uid: str, token: str) -> User | None:
    """Whom a link is good for; None for nobody."""
    user = _user(uid)
    return user if user and user.is_active and default_token_generator.check_token(user, token) else None


def confirm_reset(*, uid: str, token: str, new_password: str) -> None:
    """Invalid where the link is not good any more (code invalid_link), or the password too weak."""
    try:
        with transaction.atomic():
            user = _user(uid)
            if user is not None:
                rules.lock(User.objects.filter(pk=user.pk))
            user = user_of_link(uid, token)
            if user is None:
                raise Invalid({"token": "This link is not good any more. Ask for a new one."}, code="invalid_link")
            check_new_password(new_password, user, field="new_password")
            give_password(user, new_password, actor=user, event=Event.PASSWORD_RESET_COMPLETED)
    except Invalid as refusal:
        if refusal.code == "invalid_link":
            tell_of_bad_link(uid=uid, token=token)
        else:
            _record_failure(uid, "weak password")
        raise


def tell_of_bad_link(*, uid: str, token: str) -> None:
    """Somebody came with a link that is good for nothing."""
    _record_failure(uid, _why(uid, token))


def _record_failure(uid: str, reason: str) -> None:
    # By itself: what was refused has been rolled back.
    with transaction.atomic():
        record(Event.PASSWORD_RESET_FAILED, actor=None, target=_user(uid), detail=reason, facts={"reason": reason})


def _user(uid: str) -> User | None:
    try:
        pk = int(urlsafe_base64_decode(uid).decode())
    except (ValueError, UnicodeDecodeError):
        return None
    return User.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None


def _why(uid: str, token: str) -> str:
    """Why a link is refused, for those who read the trail."""
    user = _user(uid)
    try:
        made_at = _EPOCH + timedelta(seconds=base36_to_int(token.partition("-")[0]))
    except (ValueError, OverflowError):
        return "invalid"
    if user is None:
        return "invalid"
    if not user.is_active:
        return "disabled account"
    events = [Event.PASSWORD_RESET_COMPLETED, Event.PASSWORD_CHANGED]
    # A second less: tokens count whole ones.
    since = AuditEntry.objects.filter(
        object_type="user", object_id=user.pk, event__in=events, created_at__gte=made_at - timedelta(seconds=1)
    )
    if since.exists():
        return "used"
    # Django's tokens are made in local time, and the settings say that this is UTC.
    is_old = datetime.now(UTC) - made_at > timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    return "expired" if is_old else "invalid"


@dataclass(frozen=True)
class _Asker:
    """Whoever pressed the button, as the mail remembers him."""

    pk: int
    username: str
    role: str


@receiver(delivery_told, dispatch_uid="api.users.password_reset")
def tell_of_delivery(mail: OutgoingMail, **_: Any) -> None:
    """What became of the mail, with the name of whoever asked for it."""
    if mail.kind not in {RESET, INVITATION} or mail.state == MailState.QUEUED:
        return
    asker = _Asker(mail.asked_by_id, mail.asked_by_name, mail.asked_by_role) if mail.asked_by_id else None
    target = User.objects.filter(pk=mail.user_id or 0).first()
    known: dict[str, Any] = {"actor": asker, "target": target, "by_administrator": asker is not None}
    if mail.state == MailState.SENT:
        by = asker.username if asker else "(self-service)"
        message = f"{Event.PASSWORD_RESET_EMAIL_SENT.label} to {mail.recipient} by {by}"
        record(Event.PASSWORD_RESET_EMAIL_SENT, message=message, facts={"mail_id": mail.pk}, **known)
    else:
        facts = {"mail_id": mail.pk, "reason": mail.last_error}
        record(Event.PASSWORD_RESET_EMAIL_FAILED, detail=mail.last_error, facts=facts, **known)
