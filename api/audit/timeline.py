"""Reading from the audit trail which value a field had at any time."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

UNKNOWN: Final = object()


class Timeline:
    """The value of one field after each audit entry.

    Between two changes it is what the earlier one wrote, if the later one found the same. Otherwise something changed
    it without an entry, and the value is UNKNOWN, which equals nothing.
    """

    def __init__(self, changes: Sequence[tuple[int, Any, Any]], *, present: Any) -> None:
        """`changes`: (entry id, old, new) in the order of the ids; `present`: the value of the row."""
        self._ids = [pk for pk, _, _ in changes]
        found = [*(old for _, old, _ in changes), present]
        written = [new for _, _, new in changes]
        after = [new if new == old else UNKNOWN for new, old in zip(written, found[1:], strict=True)]
        self._values = [found[0], *after]

    def after(self, entry_id: int) -> Any:
        return self._values[bisect_right(self._ids, entry_id)]
