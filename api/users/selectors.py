"""Queries for users: visible to an actor, or found by a typed login name."""

from collections.abc import Mapping
from typing import Any, cast

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest

from api.audit.events import Event
from api.audit.models import AuditEntry
from api.common import rules
from api.common.access import get_permitted
from api.common.choices import Role
from api.common.locking import lock_rows
from api.common.ordering import order_terms
from api.common.rules import Scope
from api.users.login_names import normalize_login
from api.users.models import User

FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.BUT_SUPERUSERS: lambda _: ~Q(role=Role.SUPERUSER),
    Scope.STAFF_AND_VIEWERS: lambda _: Q(role__in=[Role.STAFF, Role.VIEWER]),
    Scope.SELF: lambda actor: Q(pk=actor.pk),
}


def visible_users(actor: User) -> QuerySet[User]:
    return User.objects.filter(rules.rows("users.view", actor, FILTERS))


def get_user(*, actor: User, pk: int, rule: str, lock: bool = False) -> User:
    """Return a user; raise NotFound if the actor may not see them, Denied if the rule forbids the action."""
    if lock:
        lock_rows(User.objects.filter(pk=pk))
    return get_permitted(visible_users(actor), rules.rows(rule, actor, FILTERS), pk, action=rule)


def filter_users(users: QuerySet[User], query: Mapping[str, Any]) -> QuerySet[User]:
    """Filter and order users by `query`: search, role, department, is_active, ordering."""
    if text := query.get("search"):
        users = users.filter(
            Q(username__icontains=text)
            | Q(email__icontains=text)
            | Q(first_name__icontains=text)
            | Q(last_name__icontains=text)
        )
    for name in ("role", "department", "is_active"):
        if name in query:
            users = users.filter(Q((name, query[name])))
    return users.order_by(*order_terms(query.get("ordering", "username")))


def find_login(text: str) -> User | None:
    """Return the user with this username or email address, ignoring spelling variants."""
    folded = normalize_login(text)
    column = "email" if "@" in folded else "username"
    return User.objects.alias(folded=Lower(column)).filter(folded=folded).first()


def _role_changes(**condition: Any) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(event=Event.ROLE_CHANGED, object_type="user", **condition)


def demotions() -> QuerySet[AuditEntry]:
    """Return the audit events that demoted superusers."""
    return _role_changes(changes__role__0=Role.SUPERUSER)


def about_superusers(user_column: str) -> Q:
    """Return the condition for rows about superusers, and about former ones from the time when they were.

    `user_column` holds the user's id; the rows have created_at.
    """
    promoted_later = _role_changes(
        changes__role__1=Role.SUPERUSER,
        object_id=OuterRef("object_id"),
        created_at__gt=OuterRef(OuterRef("created_at")),
        created_at__lte=OuterRef("created_at"),
    )
    demoted_later = demotions().filter(
        ~Exists(promoted_later), object_id=OuterRef(user_column), created_at__gte=OuterRef("created_at")
    )
    is_one = Q((f"{user_column}__in", User.objects.filter(role=Role.SUPERUSER).values("pk")))
    was_one = Q((f"{user_column}__in", demotions().values("object_id")))  # few rows, so Exists runs rarely
    return is_one | (was_one & Q(Exists(demoted_later)))


# Audit events about superusers have one as object, or are the superuser's own logins (no object).
ENTRY_FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.BUT_SUPERUSERS: lambda _: (
        ~((Q(object_type="user") & about_superusers("object_id")) | (Q(object_id=None) & about_superusers("actor_id")))
    ),
}


def visible_entries(actor: User, *, role: str = "") -> QuerySet[AuditEntry]:
    """Return the audit events that the actor may read."""
    return AuditEntry.objects.filter(rules.rows("audit.view", actor, ENTRY_FILTERS, role=role))


def actor_of(request: HttpRequest) -> User:
    """Return the signed-in user of a request that requires a login."""
    return cast("User", request.user)
