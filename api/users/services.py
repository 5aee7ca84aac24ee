"""Create, change, disable and erase users. Every change is audited in its transaction."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import PROTECT, ProtectedError
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.changes import apply_changes, changes_of_new_row, save_changes, unique_errors_as_invalid
from api.common.choices import Role
from api.common.errors import Conflict, Denied
from api.common.locking import IfMatch, lock_rows, require_match
from api.common.rules import Scope
from api.users.models import User
from api.users.passwords import check_new_password
from api.users.selectors import get_user

TAKEN = {
    "user_username_once": "username",
    "api_user.username": "username",
    "api_user_username": "username",
    "user_email_once": "email",
}
AUDITED = (
    "username",
    "email",
    "first_name",
    "last_name",
    "role",
    "department",
    "phone_number",
    "timezone",
    "digest_opt_out",
    "notification_opt_out",
    "is_active",
)
# A change of one of these ends all sessions, because their tokens vouch for the old values.
IDENTITY = frozenset({"email", "role", "is_active"})


@transaction.atomic
def create_user(*, actor: User | None, password: str | None = None, **values: Any) -> User:
    """Create a user. Without a password, they sign in after an invitation. `actor` is None for commands."""
    user = User(**values)
    if actor is not None:
        require_creation(actor, role=user.role, has_password=password is not None)
    if password is None:
        user.set_unusable_password()
    else:
        check_new_password(password, user, field="password")
        user.set_password(password)
    with unique_errors_as_invalid(TAKEN):
        user.save()
    record(Event.USER_CREATED, actor=actor, target=user, changes=changes_of_new_row(user, AUDITED))
    return user


def require_creation(actor: User, *, role: str, has_password: bool) -> None:
    """Raise Denied unless the actor may create such a user."""
    _require_role(actor, "users.create", role)
    if has_password:
        rules.require("users.set_password", actor)


@transaction.atomic
def update_user(*, actor: User, user_id: int, rule: str, if_match: IfMatch = None, **values: Any) -> User:
    """Change a user under `rule`: users.edit, users.disable, or users.edit_profile for the own account."""
    _lock_superusers(values)
    user = get_user(actor=actor, pk=user_id, rule=rule, lock=True)
    require_match(user, if_match)
    if "role" in values:
        _require_role(actor, rule, values["role"], target=user)
    _require_remaining_superuser(user, values)
    changes = apply_changes(user, values)
    if changes:
        _save(user, changes)
        _record_changes(actor, user, changes)
    return user


@transaction.atomic
def delete_user(*, actor: User, user_id: int) -> None:
    """Erase a user; raise Conflict if protected rows refer to them."""
    _lock_superusers({"is_active": False})
    user = get_user(actor=actor, pk=user_id, rule="users.delete", lock=True)
    _require_remaining_superuser(user, {"is_active": False})
    record(Event.USER_DELETED, actor=actor, target=user)
    try:
        user.delete()
    except ProtectedError:
        raise Conflict(
            f"{user} has tasks or sessions and cannot be erased. Disable the account instead.", code="user_has_traces"
        ) from None


def has_protected_references(user: User) -> bool:
    """Return whether rows refer to this user that prevent their erasure."""
    relations = [rel for rel in user._meta.related_objects if getattr(rel, "on_delete", None) is PROTECT]
    return any(rel.related_model._default_manager.filter((rel.field.name, user)).exists() for rel in relations)


def _end_sessions(user: User) -> None:
    end_all_sessions(user)
    user.save(update_fields=["session_epoch"])


def _require_role(actor: User, rule: str, role: str, target: User | None = None) -> None:
    scope = rules.scope_of(rule, actor.role)
    if scope is Scope.ALL or (scope is Scope.STAFF_AND_VIEWERS and role in {Role.STAFF, Role.VIEWER}):
        return
    raise Denied(
        action=f"{rule} as {role}", target=target, errors={"role": "Your role does not allow you to give this role."}
    )


def _lock_superusers(values: Mapping[str, Any]) -> None:
    # Lock all superusers in one order, before the user: two who disable each other must not deadlock.
    if values.keys() & {"role", "is_active"}:
        lock_rows(User.objects.filter(role=Role.SUPERUSER))


def _lock_user(user_id: int) -> User:
    lock_rows(User.objects.filter(pk=user_id))
    return User.objects.get(pk=user_id)


def _require_remaining_superuser(user: User, values: Mapping[str, Any]) -> None:
    resigns = values.get("role", Role.SUPERUSER) != Role.SUPERUSER or values.get("is_active", True) is False
    if user.role != Role.SUPERUSER or not user.is_active or not resigns:
        return
    if not User.objects.filter(role=Role.SUPERUSER, is_active=True).exclude(pk=user.pk).exists():
        raise Conflict("This is the last active superuser. Make another user a superuser first.", code="last_superuser")


def _save(user: User, changes: Mapping[str, Any]) -> None:
    columns = set(changes)
    if columns & IDENTITY:
        end_all_sessions(user)
        columns.add("session_epoch")
    with unique_errors_as_invalid(TAKEN):
        save_changes(user, dict.fromkeys(columns))


def _record_changes(actor: User, user: User, changes: Mapping[str, list[Any]]) -> None:
    others = dict(changes)
    if "role" in others:
        record(Event.ROLE_CHANGED, actor=actor, target=user, changes={"role": others.pop("role")})
    if "is_active" in others:
        event = Event.USER_ENABLED if user.is_active else Event.USER_DISABLED
        record(event, actor=actor, target=user, changes={"is_active": others.pop("is_active")})
    if others:
        record(Event.USER_UPDATED, actor=actor, target=user, changes=others)


def end_all_sessions(user: User) -> None:
    """End all sessions and tokens of a user. The caller locks the row and saves `session_epoch`."""
    user.session_epoch += 1
    user.sessions.filter(ended_at=None).update(ended_at=timezone.now())
