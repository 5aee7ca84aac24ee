"""Which log records a user can read on the operations page (docs/decisions/0011)."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest

from api.common import rules
from api.common.choices import Role
from api.common.errors import Denied
from api.users.models import User
from api.users.selectors import FILTERS, demotions
from backend.formatters import timestamp
from backend.logs.reader import Entry
from backend.logs.search import user_ids_of

IsVisible = Callable[[Entry], bool]
_SUPERUSERS_SITE = "/admin/"


def visible_records(site: AdminSite, request: HttpRequest) -> IsVisible | None:
    """Return a filter for log records, or None if the user can read all. Raise Denied if they can read none."""
    user: Any = request.user
    role = getattr(site, "acting_role", "") or user.role
    scope = rules.scope_of("logs.view", role)
    if scope is None:
        raise Denied(action="logs.view")
    if scope is rules.Scope.ALL:
        return None
    visible_user_ids = set(User.objects.filter(FILTERS[scope](user)).values_list("pk", flat=True))
    demoted = {
        user_id: timestamp(at.timestamp())
        for user_id, at in demotions().order_by("created_at").values_list("object_id", "created_at")
    }
    return lambda entry: _names_only(visible_user_ids, entry) and not _names_former_superuser(demoted, entry)


def _names_former_superuser(demoted: dict[int | None, str], entry: Entry) -> bool:
    """Return whether the record names a user who was a superuser when it was written."""
    written_at = str(entry.values.get("timestamp"))
    return any(written_at <= demoted.get(id_, "") for id_ in user_ids_of(entry))


def _names_only(visible_user_ids: set[int], entry: Entry) -> bool:
    """Return whether the record names visible users only. An unknown user may be an erased superuser."""
    values = entry.values
    request = values.get("request")
    path = str(request.get("path", "")) if isinstance(request, dict) else ""
    return (
        all(type(id_) is int and id_ in visible_user_ids for id_ in user_ids_of(entry))
        and values.get("user_role") != Role.SUPERUSER
        and not path.startswith(_SUPERUSERS_SITE)
    )
