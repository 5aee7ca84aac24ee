"""Unsubscribe links of emails: one click, no login (RFC 8058). The same page subscribes again."""

from enum import Enum
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import mark_safe
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from api.accounts import throttle
from api.accounts.services import update_own_profile
from api.common.errors import TooManyAttempts
from api.users.models import User
from backend.http.error_pages import STYLE, content_security_policy, too_many_attempts

_SALT = "api.users.unsubscribe"  # of links in emails that were sent: it must not change


class MailingList(Enum):
    """The kinds of email that users can unsubscribe from; the value is the opt-out field of User."""

    DIGEST = "digest_opt_out"
    NOTIFICATIONS = "notification_opt_out"

    @property
    def title(self) -> str:
        return {MailingList.DIGEST: "the daily digest", MailingList.NOTIFICATIONS: "emails about urgent tasks"}[self]


def unsubscribe_url(user: User, kind: MailingList) -> str:
    """Return the link of an email. It never expires and allows nothing else."""
    token = signing.dumps([user.pk, kind.value], salt=_SALT)
    return settings.PUBLIC_BASE_URL + reverse("unsubscribe", args=[token])


def unsubscribe_headers(url: str) -> dict[str, str]:
    """Return the headers with which mail programs show an unsubscribe button."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@method_decorator(csrf_exempt, name="dispatch")  # mail programs send the POST, without cookies
class UnsubscribeView(View):
    """GET shows the page, because mail scanners follow links. POST changes the subscription."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return _page(*_decode_token(token))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user, kind = _decode_token(token)
        try:
            # Each change leaves a row in the audit trail, and anybody may have received the link in a forwarded email.
            throttle.count_request("unsubscribe", f"{user.pk} {kind.value}")
        except TooManyAttempts as error:
            return too_many_attempts(error.headers)
        change: dict[str, Any] = {kind.value: "again" not in request.POST}
        return _page(update_own_profile(user=user, **change), kind, has_changed=True)


def _decode_token(token: str) -> tuple[User, MailingList]:
    try:
        pk, kind = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        raise Http404 from None
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Http404
    return user, MailingList(kind)


def _page(user: User, kind: MailingList, *, has_changed: bool = False) -> HttpResponse:
    values = {"title": kind.title, "is_unsubscribed": getattr(user, kind.value), "has_changed": has_changed}
    values["style"] = mark_safe(STYLE)  # noqa: S308 - a constant
    page = render_to_string("api/accounts/unsubscribe.html", values)
    headers = {"Content-Security-Policy": content_security_policy(form_action="'self'"), "Cache-Control": "no-store"}
    return HttpResponse(page, headers=headers)
