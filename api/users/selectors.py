"""Which people somebody sees, and finding one by what he typed."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone

from api.audit.models import AuditEntry
from api.common import rules
from api.common.ordering import order_terms
from api.common.rules import Scope
from api.common.vocabulary import Role
from api.users.models import Session, User
from api.users.names import normalize_login

FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.BUT_SUPERUSERS: lambda _: ~Q(role=Role.SUPERUSER),
    Scope.STAFF_AND_VIEWERS: lambda _: Q(role__in=[Role.STAFF, Role.VIEWER]),
    Scope.HIMSELF: lambda actor: Q(pk=actor.pk),
}


def visible_users(actor: User) -> QuerySet[User]:
    return User.objects.filter(rules.rows("users.view", actor, FILTERS))


def get_user(*, actor: User, pk: int, rule: str, lock: bool = False) -> User:
    """NotFound if the actor does not see this person, Denied if the rule does not allow it to him."""
    if lock:
        rules.lock(User.objects.filter(pk=pk))
    return rules.get_permitted(visible_users(actor), rules.rows(rule, actor, FILTERS), pk, action=rule)


def filter_users(users: QuerySet[User], query: Mapping[str, Any]) -> QuerySet[User]:
    """`query`: search, role, department, is_active, ordering."""
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
    """Return the user who signs in with this username or email, however it was typed."""
    folded = normalize_login(text)
    column = "email" if "@" in folded else "username"
    return User.objects.alias(folded=Lower(column)).filter(folded=folded).first()


def live_sessions(user: User) -> QuerySet[Session]:
    return user.sessions.filter(ended_at=None, expires_at__gt=timezone.now()).order_by("-last_seen_at")


# Entries of the trail about superusers are those whose object one is, and those that tell of his own sign-ins.
ENTRY_FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.BUT_SUPERUSERS: lambda _: (
        ~(Q(object_type="user", object_id__in=_superusers()) | Q(object_id=None, actor_id__in=_superusers()))
    ),
}


def _superusers() -> QuerySet[User, Any]:
    return User.objects.filter(role=Role.SUPERUSER).values("pk")


def visible_entries(actor: User, *, role: str = "") -> QuerySet[AuditEntry]:
    """The audit trail, for who may read it."""
    return AuditEntry.objects.filter(rules.rows("audit.view", actor, ENTRY_FILTERS, role=role))
