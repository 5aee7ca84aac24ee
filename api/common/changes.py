"""Steps that all services share when they change a row."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from api.common.errors import Invalid


def apply_changes(row: models.Model, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Set the values that differ and return them as {field: [old, new]}.

    A related row appears as its id, and its name under `<field>_name`.
    """
    changes: dict[str, list[Any]] = {}
    for name, new in values.items():
        old = getattr(row, name)
        if old == new:
            continue
        setattr(row, name, new)
        changes |= _change(row, name, old, new)
    return changes


def _change(row: models.Model, name: str, old: Any, new: Any) -> dict[str, list[Any]]:
    entry = {name: [_as_json_value(row, name, old), _as_json_value(row, name, new)]}
    if isinstance(old, models.Model) or isinstance(new, models.Model):
        entry[f"{name}_name"] = [None if old is None else str(old), None if new is None else str(new)]
    return entry


def changes_of_new_row(row: models.Model, names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the changes of a new row: from None to each value that is not empty."""
    values = {name: getattr(row, name) for name in names}
    return {
        key: pair
        for name, value in values.items()
        if value not in (None, "")
        for key, pair in _change(row, name, None, value).items()
    }


def save_changes(row: Any, changes: Mapping[str, Any], *, actor: Any = None) -> None:
    """Save the changed fields as a new version of the row, which the caller has locked."""
    row.version += 1
    columns = {field.name for field in row._meta.concrete_fields}
    tracking_columns = {"version"}
    if "modified_at" in columns:
        row.modified_at, row.modified_by = timezone.now(), actor
        tracking_columns |= {"modified_at", "modified_by"}
    row.save(update_fields=(columns & set(changes)) | tracking_columns)


@contextmanager
def unique_errors_as_invalid(unique_fields: Mapping[str, str]) -> Iterator[None]:
    """Turn a violated unique constraint into Invalid; `unique_fields` is {constraint or table.column: field}."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        for constraint, field in unique_fields.items():
            if constraint in str(error):
                raise Invalid({field: "This is already taken."}, code="unique") from None
        raise


def _as_json_value(row: models.Model, name: str, value: Any) -> Any:
    """Return the value as the API represents it in JSON."""
    if isinstance(value, models.Model):
        return value.pk
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    field = row._meta.get_field(name)
    if isinstance(value, int) and getattr(field, "choices", None):
        return dict(field.flatchoices)[value].lower()  # type: ignore[union-attr]
    return value
