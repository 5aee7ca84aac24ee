"""The permission check of the API's views."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from api.common import rules


class RulePermission(BasePermission):
    """Check the rule that the view declares for the action in `rules`; deny actions without a rule.

    If the URL names a row, load it with the same rule. That raises NotFound if the user cannot see the row, and Denied
    if they can see it but the rule forbids the action.
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
