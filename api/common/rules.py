"""Who may do what: the one table, asked by every door. What is not in it is denied.

A rule names an action; for each role that may perform it, the scope says on which rows. The selectors of each domain
translate a scope into SQL, once.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from django.db.models import Model, Q

from api.common.choices import Role
from api.common.errors import Denied

Row = TypeVar("Row", bound=Model)


class Scope(StrEnum):
    ALL = "all"
    HIMSELF = "himself"
    # users
    BUT_SUPERUSERS = "everybody but superusers"
    STAFF_AND_VIEWERS = "staff and viewers"
    # properties
    ACTIVE = "active ones"
    OWNED = "those he owns"
    # tasks
    ASSIGNED = "those assigned to him"
    ASSIGNED_OR_UNASSIGNED = "those assigned to him, and unassigned ones of his department"
    ON_OWNED = "those of his properties"


S, M, C, V = Role.SUPERUSER, Role.MANAGER, Role.STAFF, Role.VIEWER

_MANAGING = {S: Scope.ALL, M: Scope.ALL}
_HIMSELF = dict.fromkeys(Role, Scope.HIMSELF)

PUBLIC = "public"

RULES: Mapping[str, Mapping[Role, Scope]] = MappingProxyType(
    {
        "account.use": _HIMSELF,
        "docs.read": _HIMSELF,
        "tasks.view": _MANAGING | {C: Scope.ASSIGNED_OR_UNASSIGNED, V: Scope.ON_OWNED},
        "tasks.view_deleted": _MANAGING,
        "tasks.create": _MANAGING,
        "tasks.edit": _MANAGING,
        "tasks.assign": _MANAGING,
        "tasks.cancel": _MANAGING,
        "tasks.reopen": _MANAGING,
        "tasks.delete": _MANAGING,
        "tasks.restore": _MANAGING,
        "tasks.change_status": _MANAGING | {C: Scope.ASSIGNED},
        "tasks.claim": _MANAGING | {C: Scope.ASSIGNED_OR_UNASSIGNED},
        "properties.view": _MANAGING | {C: Scope.ACTIVE, V: Scope.OWNED},
        "properties.view_deleted": _MANAGING,
        "properties.create": _MANAGING,
        "properties.edit": _MANAGING,
        "properties.delete": _MANAGING,
        "properties.restore": _MANAGING,
        "users.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS, C: Scope.HIMSELF, V: Scope.HIMSELF},
        "users.create": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.edit": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.edit_profile": _HIMSELF,
        "users.disable": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.set_password": {S: Scope.ALL},
        "users.send_reset": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "users.end_sessions": {S: Scope.ALL},
        "users.delete": {S: Scope.ALL},
        "audit.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "mail.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "mail.retry": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "notifications.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "operations.view": _MANAGING,
        "logs.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "metrics.read": {S: Scope.ALL},
        "sites.admin": {S: Scope.ALL},
        "sites.manager": _MANAGING,
    }
)


class Actor(Protocol):
    """Whoever asks: a signed-in user."""

    @property
    def pk(self) -> Any: ...
    @property
    def role(self) -> str: ...
    @property
    def department(self) -> str: ...


ScopeFilters = Mapping[Scope, Callable[[Any], Q]]


def scope_of(rule: str, role: str) -> Scope | None:
    """The rows on which `role` may act; None if it may not at all. An unknown rule is a mistake in the code."""
    return RULES[rule].get(Role(role))


def allows(rule: str, actor: Actor) -> bool:
    """Whether the actor may act on any row at all."""
    return scope_of(rule, actor.role) is not None


def require(rule: str, actor: Actor, *, target: Model | None = None) -> None:
    """Raise Denied unless the actor may act on some rows."""
    if not allows(rule, actor):
        raise Denied(action=rule, target=target)


def rows(rule: str, actor: Actor, filters: ScopeFilters, *, role: str = "") -> Q:
    """The condition for the rows on which the actor may act, in his own role or in the one of `role`."""
    scope = scope_of(rule, role or actor.role)
    return filters[scope](actor) if scope else Q(pk__in=[])
