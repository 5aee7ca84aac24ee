"""How the views ask the rules table."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from api.common import rules


class RulePermission(BasePermission):
    """Every view names a rule for each of its actions (`rules`); without one the answer is no.

    Where the address names a row, the row is looked up by the same rule: NotFound if the person does not see it, Denied
    if he sees it and may not do this.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        method = (request.method or "").lower()
        if method == "options" or not hasattr(view, method):
            return True  # becomes a 405
        rule = view.rules.get(getattr(view, "action", None) or method.replace("head", "get"))
        if rule == rules.PUBLIC:
            return True
        if rule is None or not request.user.is_authenticated:
            return False
        if "pk" in view.kwargs:
            view.row = view.get_row(rule)
        else:
            rules.require(rule, request.user)
        return True
