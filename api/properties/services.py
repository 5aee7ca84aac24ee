"""Changes of properties."""

from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.changes import apply_changes, changes_of_new_row, save_changes, unique_errors_as_invalid
from api.common.errors import Conflict, Invalid
from api.common.locking import IfMatch, require_match
from api.properties.models import Property
from api.properties.selectors import get_property
from api.users.models import User
from api.users.selectors import visible_users

_UNIQUE_FIELDS = {"property_name_once": "name", "api_property.name": "name"}
AUDITED = ("name", "address", "property_type", "timezone", "access_notes", "is_active")
_NOT_STORED = "(not kept)"  # access notes contain door codes, and audit entries are never deleted


@transaction.atomic
def create_property(*, actor: User, owners: Collection[int] = (), **values: Any) -> Property:
    rules.require("properties.create", actor)
    now = timezone.now()
    row = Property(created_by=actor, modified_by=actor, created_at=now, modified_at=now, **values)
    with unique_errors_as_invalid(_UNIQUE_FIELDS):
        row.save()
    changes = changes_of_new_row(row, AUDITED) | _set_owners(row, owners, actor=actor)
    record(Event.PROPERTY_CREATED, actor=actor, target=row, changes=_without_access_notes(changes))
    return row


@transaction.atomic
def update_property(
    *, actor: User, property_id: int, if_match: IfMatch = None, owners: Collection[int] | None = None, **values: Any
) -> Property:
    row = get_property(actor=actor, pk=property_id, rule="properties.edit", lock=True)
    require_match(row, if_match)
    changes = apply_changes(row, values)
    if owners is not None:
        changes |= _set_owners(row, owners, actor=actor)
    if changes:
        with unique_errors_as_invalid(_UNIQUE_FIELDS):
            save_changes(row, changes, actor=actor)
        record(Event.PROPERTY_UPDATED, actor=actor, target=row, changes=_without_access_notes(changes))
    return row


@transaction.atomic
def delete_property(*, actor: User, property_id: int, if_match: IfMatch = None) -> None:
    """Hide the property and its tasks until it is restored."""
    row = get_property(actor=actor, pk=property_id, rule="properties.delete", lock=True)
    require_match(row, if_match)
    row.deleted_at = timezone.now()
    save_changes(row, {"deleted_at": None}, actor=actor)
    record(Event.PROPERTY_DELETED, actor=actor, target=row)


@transaction.atomic
def restore_property(*, actor: User, property_id: int, if_match: IfMatch = None) -> Property:
    row = get_property(actor=actor, pk=property_id, rule="properties.restore", lock=True, deleted=True)
    require_match(row, if_match)
    row.deleted_at = None
    try:
        with transaction.atomic():
            save_changes(row, {"deleted_at": None}, actor=actor)
    except IntegrityError:
        raise Conflict("Another property has this name now. Rename it first.", code="name_taken") from None
    record(Event.PROPERTY_RESTORED, actor=actor, target=row)
    return row


def _set_owners(row: Property, owners: Collection[int], *, actor: User) -> dict[str, list[Any]]:
    """Set the owners; raise Invalid if a new owner does not exist, is disabled or is not visible to the actor."""
    old = sorted(row.owners.values_list("pk", flat=True))
    new = sorted(set(owners))
    if old == new:
        return {}
    visible = set(visible_users(actor).filter(pk__in=set(new) - set(old), is_active=True).values_list("pk", flat=True))
    if missing := set(new) - set(old) - visible:
        raise Invalid({"owners": f"There is no active user with id {min(missing)}."}, code="does_not_exist")
    row.owners.set(new)
    return {"owners": [old, new]}


def _without_access_notes(changes: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return changes | ({"access_notes": [_NOT_STORED, _NOT_STORED]} if "access_notes" in changes else {})
