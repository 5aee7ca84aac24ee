"""Reconstruction of a field's former values from the audit trail."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

UNKNOWN: Final = object()


class Timeline:
    """The value of one field after each audit entry.

    Between two changes, the value is the new one of the earlier change if the later change has it as its old one.
    Otherwise something changed the field without an entry: the value is UNKNOWN, which equals nothing.
    """

    def __init__(self, changes: Sequence[tuple[int, Any, Any]], *, present: Any) -> None:
        """Take `changes` as (entry id, old, new), ordered by id, and `present`, the row's current value."""
        self._ids = [pk for pk, _, _ in changes]
        old_values = [*(old for _, old, _ in changes), present]
        new_values = [new for _, _, new in changes]
        after = [new if new == old else UNKNOWN for new, old in zip(new_values, old_values[1:], strict=True)]
        self._values = [old_values[0], *after]

    def after(self, entry_id: int) -> Any:
        """Return the value right after this audit entry."""
        return self._values[bisect_right(self._ids, entry_id)]
