"""Get one row under the rules table."""

from collections.abc import Callable
from typing import cast

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from api.common.errors import Conflict, Denied, NotFound
from api.common.rules import Actor, Row, allows


def get_permitted(visible: QuerySet[Row], permitted: Q, pk: int, *, action: str) -> Row:
    """Return the row with this id. Raise NotFound if it is not visible, Denied if it is visible but not permitted."""
    rows = visible.filter(pk=pk)
    if permitted:  # an empty condition permits every row
        is_permitted = ExpressionWrapper(permitted, output_field=BooleanField())
        rows = cast("QuerySet[Row]", rows.annotate(is_permitted=is_permitted))
    try:
        row = rows.get()
    except ObjectDoesNotExist:
        raise NotFound from None
    if not getattr(row, "is_permitted", True):
        raise Denied(action=action, target=row)
    return row


def get_deleted(get_row: Callable[..., Row], rule: str, actor: Actor) -> Row:
    """Return the deleted row that `get_row(deleted=True)` gets; raise Conflict if it exists but is not deleted.

    Without permission to restore, the response never reveals whether a deleted row exists.
    """
    if not allows(rule, actor):
        return get_row(deleted=False)
    try:
        return get_row(deleted=True)
    except NotFound:
        get_row(deleted=False)
        raise Conflict("This is not deleted.", code="not_deleted") from None
