"""Which log records somebody may read on the operations page."""

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
    """What may be shown, None for everything; Denied who may look at nothing."""
    user: Any = request.user
    role = getattr(site, "acting_role", "") or user.role
    scope = rules.scope_of("logs.view", role)
    if scope is None:
        raise Denied(action="logs.view")
    if scope is rules.Scope.ALL:
        return None
    people = set(User.objects.filter(FILTERS[scope](user)).values_list("pk", flat=True))
    demoted = {
        user_id: timestamp(at.timestamp())
        for user_id, at in demotions().order_by("created_at").values_list("object_id", "created_at")
    }
    return lambda entry: _is_of(people, entry) and not _is_of_demoted(demoted, entry)


def _is_of_demoted(demoted: dict[int | None, str], entry: Entry) -> bool:
    """Whether a user of this record may have been a superuser when it was written."""
    at = str(entry.values.get("timestamp"))
    return any(at <= demoted.get(id_, "") for id_ in user_ids_of(entry))


def _is_of(people: set[int], entry: Entry) -> bool:
    """Deny is the default: whoever is named, and is none of these, may be a superuser who was erased."""
    values = entry.values
    request = values.get("request")
    path = str(request.get("path", "")) if isinstance(request, dict) else ""
    return (
        all(type(id_) is int and id_ in people for id_ in user_ids_of(entry))
        and values.get("user_role") != Role.SUPERUSER
        and not path.startswith(_SUPERUSERS_SITE)
    )
