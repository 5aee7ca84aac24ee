"""Row locks for one transaction, and optimistic locking by the version that a client has read."""

from typing import Any, Protocol

from django.db.models import QuerySet

from api.common.errors import StaleVersion


def lock_rows(rows: QuerySet[Any]) -> int:
    """Lock these rows of one table until the transaction ends, and return their number.

    Foreign keys can still refer to locked rows. Read the rows after this call, not in the same statement: a locking
    SELECT with joins can lose a row that changed while the lock was waited for. PostgreSQL then checks the new version
    against the joined rows that it read before.
    """
    return len(rows.order_by("pk").select_for_update(no_key=True).values_list("pk"))


class Versioned(Protocol):
    version: Any


IfMatch = frozenset[str] | None  # the acceptable versions; None: any


def require_match(row: Versioned, expected: IfMatch) -> None:
    """Raise StaleVersion unless the row has one of the expected versions. The caller has locked the row."""
    if expected is not None and str(row.version) not in expected:
        raise StaleVersion
