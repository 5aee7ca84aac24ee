"""Locks: rows for the length of a transaction, and the version that a client has read (optimistic locking)."""

from typing import Any, Protocol

from django.db.models import QuerySet

from api.common.errors import StaleVersion


def lock_rows(rows: QuerySet[Any]) -> int:
    """Lock these rows of one table until the transaction ends; others may still refer to them, as foreign keys do.

    Returns how many there are once the lock is there. Read them afterwards: a row that is read and locked in one
    statement, with joins, can vanish from its result when the lock was waited for and the row changed meanwhile
    (PostgreSQL rechecks it against the joined rows of before).
    """
    return len(rows.order_by("pk").select_for_update(no_key=True).values_list("pk"))


class Versioned(Protocol):
    version: Any


IfMatch = frozenset[str] | None  # the acceptable versions; None: any


def require_match(row: Versioned, expected: IfMatch) -> None:
    """Raise StaleVersion unless the row, locked by the caller, has a version that the client has seen."""
    if expected is not None and str(row.version) not in expected:
        raise StaleVersion
