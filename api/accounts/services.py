"""Change passwords, profiles and sessions. Every change is audited in its transaction."""

from typing import Any

from django.db import transaction

from api.accounts.devices import forget_devices
from api.accounts.login import require_password
from api.accounts.mails import build_password_changed_mail
from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.changes import apply_changes, save_changes
from api.common.errors import Conflict, Invalid
from api.common.locking import IfMatch, require_match
from api.mail.outbox import enqueue
from api.users.models import User
from api.users.passwords import check_new_password
from api.users.selectors import get_user
from api.users.services import _end_sessions, _lock_user, _save, end_all_sessions


@transaction.atomic
def end_sessions_of(*, actor: User, user_id: int) -> None:
    """End all sessions of another user, for example after their phone was stolen."""
    user = get_user(actor=actor, pk=user_id, rule="users.end_sessions", lock=True)
    _end_sessions(user)
    record(Event.SESSION_ENDED, actor=actor, target=user, detail="all sessions", by_administrator=True)


@transaction.atomic
def log_out_everywhere(*, user_id: int) -> None:
    user = _lock_user(user_id)
    _end_sessions(user)
    record(Event.LOGOUT, actor=user, detail="all sessions")


@transaction.atomic
def admin_set_password(*, actor: User | None, user_id: int, new_password: str) -> None:
    """Set a user's password and end all their sessions. `actor` is None for commands."""
    user = _lock_user(user_id)
    if actor is not None:
        rules.require("users.set_password", actor, target=user)
    check_new_password(new_password, user, field="new_password")
    forget_devices(user)
    apply_password(user, new_password, actor=actor, by_administrator=actor is not None)


def change_own_password(*, user: User, current_password: str, new_password: str) -> None:
    """Change the password and end all sessions, including that of the request."""
    require_password(user, current_password)
    check_new_password(new_password, user, field="new_password")
    with transaction.atomic():
        locked = _lock_user(user.pk)
        if locked.password != user.password:
            raise Conflict("The password has just been changed by another request. Sign in again.")
        apply_password(locked, new_password, actor=locked)


def update_own_profile(
    *, user: User, if_match: IfMatch = None, current_password: str | None = None, **values: Any
) -> User:
    """Change profile fields. A new email address requires the current password and ends all sessions."""
    if values.get("email", user.email) != user.email:
        if current_password is None:
            raise Invalid(
                {"current_password": "Enter your current password to change your email address."}, code="required"
            )
        require_password(user, current_password)
    with transaction.atomic():
        locked = _lock_user(user.pk)
        require_match(locked, if_match)
        changes = apply_changes(locked, values)
        if changes:
            _save(locked, changes)
            record(Event.USER_UPDATED, actor=locked, target=locked, changes=changes)
    return locked


def apply_password(
    user: User,
    new_password: str,
    *,
    actor: User | None,
    event: Event = Event.PASSWORD_CHANGED,
    by_administrator: bool = False,
) -> None:
    """Set the password of a locked user row, end all sessions and notify the user by email."""
    user.set_password(new_password)
    end_all_sessions(user)
    save_changes(user, {"password": None, "session_epoch": None})
    record(event, actor=actor, target=user, by_administrator=by_administrator)
    enqueue(build_password_changed_mail(user), asked_by=actor)
