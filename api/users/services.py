"""What is done to people."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import PROTECT, ProtectedError

from api.accounts import sessions
from api.accounts.devices import forget_devices
from api.accounts.login import require_password
from api.accounts.mails import notice_letter
from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.changes import apply_changes, initial_values, naming_duplicates, save_changes
from api.common.choices import Role
from api.common.errors import Conflict, Denied, Invalid
from api.common.rules import Scope
from api.mail.outbox import enqueue
from api.rest.etags import IfMatch, require_match
from api.users.models import User
from api.users.selectors import get_user

TAKEN = {
    "user_username_once": "username",
    "api_user.username": "username",
    "api_user_username": "username",
    "user_email_once": "email",
}
AUDITED = (
    *("username", "email", "first_name", "last_name", "role", "department"),
    *("phone_number", "timezone", "digest_opt_out", "notification_opt_out", "is_active"),
)
# A change of one of these ends every session: what the tokens vouched for is not true any more.
IDENTITY = frozenset({"email", "role", "is_active"})


@transaction.atomic
def create_user(*, actor: User | None, password: str | None = None, **values: Any) -> User:
    """A new person; without a password he cannot sign in until he is invited. `actor` is None for commands."""
    user = User(**values)
    if actor is not None:
        require_creation(actor, role=user.role, has_password=password is not None)
    if password is None:
        user.set_unusable_password()
    else:
        check_new_password(password, user, field="password")
        user.set_password(password)
    with naming_duplicates(TAKEN):
        user.save()
    record(Event.USER_CREATED, actor=actor, target=user, changes=initial_values(user, AUDITED))
    return user


def require_creation(actor: User, *, role: str, has_password: bool) -> None:
    """Raise Denied unless the actor may create such a user."""
    _require_role(actor, "users.create", role)
    if has_password:
        rules.require("users.set_password", actor)


@transaction.atomic
def update_user(*, actor: User, user_id: int, rule: str, if_match: IfMatch = None, **values: Any) -> User:
    """Change fields of somebody, under `rule`: users.edit, users.disable, or users.edit_profile for oneself."""
    _lock_superusers(values)
    user = get_user(actor=actor, pk=user_id, rule=rule, lock=True)
    require_match(user, if_match)
    if "role" in values:
        _require_role(actor, rule, values["role"], target=user)
    _keep_a_superuser(user, values)
    changes = apply_changes(user, values)
    if changes:
        _save(user, changes)
        _record_changes(actor, user, changes)
    return user


def update_own_profile(
    *, user: User, if_match: IfMatch = None, current_password: str | None = None, **values: Any
) -> User:
    """A new email needs the current password, and ends every session."""
    if values.get("email", user.email) != user.email:
        if current_password is None:
            raise Invalid({"current_password": "A new email needs your current password."}, code="required")
        require_password(user, current_password)
    with transaction.atomic():
        locked = _locked(user.pk)
        require_match(locked, if_match)
        changes = apply_changes(locked, values)
        if changes:
            _save(locked, changes)
            record(Event.USER_UPDATED, actor=locked, target=locked, changes=changes)
    return locked


def change_password(*, user: User, current_password: str, new_password: str) -> None:
    """Every older session and token dies, the one that asked included."""
    require_password(user, current_password)
    check_new_password(new_password, user, field="new_password")
    with transaction.atomic():
        locked = _locked(user.pk)
        if locked.password != user.password:
            raise Conflict("The password was changed a moment ago. Sign in again.")
        give_password(locked, new_password, actor=locked)


@transaction.atomic
def set_password(*, actor: User | None, user_id: int, new_password: str) -> None:
    """Give somebody a password; his sessions and tokens die. `actor` is None for commands."""
    user = _locked(user_id)
    if actor is not None:
        rules.require("users.set_password", actor, target=user)
    check_new_password(new_password, user, field="new_password")
    forget_devices(user)
    give_password(user, new_password, actor=actor, by_administrator=actor is not None)


@transaction.atomic
def sign_out_everywhere(*, user_id: int) -> None:
    user = _locked(user_id)
    _end_sessions(user)
    record(Event.LOGOUT, actor=user, detail="all sessions")


@transaction.atomic
def end_sessions_of(*, actor: User, user_id: int) -> None:
    """What an administrator does to somebody whose telephone was stolen."""
    user = get_user(actor=actor, pk=user_id, rule="users.end_sessions", lock=True)
    _end_sessions(user)
    record(Event.SESSION_ENDED, actor=actor, target=user, detail="all sessions", by_administrator=True)


@transaction.atomic
def delete_user(*, actor: User, user_id: int) -> None:
    """Erase somebody who has left no trace. Conflict for the others: they can be disabled."""
    _lock_superusers({"is_active": False})
    user = get_user(actor=actor, pk=user_id, rule="users.delete", lock=True)
    _keep_a_superuser(user, {"is_active": False})
    record(Event.USER_DELETED, actor=actor, target=user)
    try:
        user.delete()
    except ProtectedError:
        raise Conflict(
            f"{user} has tasks or sessions and cannot be erased. Disable the account instead.", code="user_has_traces"
        ) from None


def has_traces(user: User) -> bool:
    """Whether rows point at him that must not lose him."""
    relations = [rel for rel in user._meta.related_objects if getattr(rel, "on_delete", None) is PROTECT]
    return any(rel.related_model._default_manager.filter((rel.field.name, user)).exists() for rel in relations)


def _end_sessions(user: User) -> None:
    sessions.end_all_sessions(user)
    user.save(update_fields=["session_epoch"])


def check_new_password(password: str, user: User, *, field: str) -> None:
    """Raise Invalid, naming `field`, for a password that is too weak."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({field: " ".join(error.messages)}, code="weak_password") from None


def give_password(
    user: User,
    new_password: str,
    *,
    actor: User | None,
    event: Event = Event.PASSWORD_CHANGED,
    by_administrator: bool = False,
) -> None:
    """To a user row that the caller has locked. Every session and token dies, and a mail tells him."""
    user.set_password(new_password)
    sessions.end_all_sessions(user)
    save_changes(user, {"password": None, "session_epoch": None})
    record(event, actor=actor, target=user, by_administrator=by_administrator)
    enqueue(notice_letter(user), asked_by=actor)


def _require_role(actor: User, rule: str, role: str, target: User | None = None) -> None:
    scope = rules.scope_of(rule, actor.role)
    if scope is Scope.ALL or (scope is Scope.STAFF_AND_VIEWERS and role in {Role.STAFF, Role.VIEWER}):
        return
    raise Denied(action=f"{rule} as {role}", target=target, errors={"role": "You may not give this role."})


def _lock_superusers(values: Mapping[str, Any]) -> None:
    # All of them, in one order and before the person himself: two who disable each other must not deadlock.
    if values.keys() & {"role", "is_active"}:
        rules.lock(User.objects.filter(role=Role.SUPERUSER))


def _locked(user_id: int) -> User:
    rules.lock(User.objects.filter(pk=user_id))
    return User.objects.get(pk=user_id)


def _keep_a_superuser(user: User, values: Mapping[str, Any]) -> None:
    leaves = values.get("role", Role.SUPERUSER) != Role.SUPERUSER or values.get("is_active", True) is False
    if user.role != Role.SUPERUSER or not user.is_active or not leaves:
        return
    if not User.objects.filter(role=Role.SUPERUSER, is_active=True).exclude(pk=user.pk).exists():
        raise Conflict("This is the last active superuser. Make somebody else superuser first.", code="last_superuser")


def _save(user: User, changes: Mapping[str, Any]) -> None:
    columns = set(changes)
    if columns & IDENTITY:
        sessions.end_all_sessions(user)
        columns.add("session_epoch")
        if not user.is_active:
            forget_devices(user)
    with naming_duplicates(TAKEN):
        save_changes(user, dict.fromkeys(columns))


def _record_changes(actor: User, user: User, changes: Mapping[str, list[Any]]) -> None:
    rest = dict(changes)
    if "role" in rest:
        record(Event.ROLE_CHANGED, actor=actor, target=user, changes={"role": rest.pop("role")})
    if "is_active" in rest:
        event = Event.USER_ENABLED if user.is_active else Event.USER_DISABLED
        record(event, actor=actor, target=user, changes={"is_active": rest.pop("is_active")})
    if rest:
        record(Event.USER_UPDATED, actor=actor, target=user, changes=rest)
