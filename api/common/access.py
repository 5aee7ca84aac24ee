"""Find one row: NotFound if it is not visible, Denied if it is visible but not permitted."""

from collections.abc import Callable
from typing import cast

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from api.common.errors import Conflict, Denied, NotFound
from api.common.rules import Actor, Row, allows


def get_permitted(visible: QuerySet[Row], permitted: Q, pk: int, *, action: str) -> Row:
    """The row with this id: NotFound if it is not visible, Denied if it is visible but not permitted."""
    found = visible.filter(pk=pk)
    if permitted:  # an empty condition permits every row
        is_permitted = ExpressionWrapper(permitted, output_field=BooleanField())
        found = cast("QuerySet[Row]", found.annotate(is_permitted=is_permitted))
    try:
        row = found.get()
    except ObjectDoesNotExist:
        raise NotFound from None
    if not getattr(row, "is_permitted", True):
        raise Denied(action=action, target=row)
    return row


def get_deleted(find: Callable[..., Row], rule: str, actor: Actor) -> Row:
    """The row to restore, by `find(deleted=...)`. Who may not restore learns no more of deleted rows than of none."""
    if not allows(rule, actor):
        return find(deleted=False)
    try:
        return find(deleted=True)
    except NotFound:
        find(deleted=False)
        raise Conflict("This is not deleted.", code="not_deleted") from None
