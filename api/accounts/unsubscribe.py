"""Stopping mails of a kind with one click, from the mail and without signing in (RFC 8058); and starting them again."""

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
    """What one can be unsubscribed from: the field that stops it."""

    DIGEST = "digest_opt_out"
    NOTIFICATIONS = "notification_opt_out"

    @property
    def title(self) -> str:
        return {MailingList.DIGEST: "the daily digest", MailingList.NOTIFICATIONS: "mails about urgent tasks"}[self]


def unsubscribe_url(user: User, kind: MailingList) -> str:
    """Good for ever, and for nothing else."""
    token = signing.dumps([user.pk, kind.value], salt=_SALT)
    return settings.PUBLIC_BASE_URL + reverse("unsubscribe", args=[token])


def unsubscribe_headers(url: str) -> dict[str, str]:
    """By which mail programs show a button of their own."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@method_decorator(csrf_exempt, name="dispatch")  # mail programs send the POST, without cookies
class UnsubscribeView(View):
    """GET asks, because mail scanners follow links; POST does it."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return _page(*_decode_token(token))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user, kind = _decode_token(token)
        try:
            # Each change leaves a row in the audit trail, and a forwarded mail carries the link to anybody.
            throttle.count_request("unsubscribe", f"{user.pk} {kind.value}")
        except TooManyAttempts as refusal:
            return too_many_attempts(refusal.headers)
        change: dict[str, Any] = {kind.value: "again" not in request.POST}
        return _page(update_own_profile(user=user, **change), kind, is_answer=True)


def _decode_token(token: str) -> tuple[User, MailingList]:
    try:
        pk, kind = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        raise Http404 from None
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Http404
    return user, MailingList(kind)


def _page(user: User, kind: MailingList, *, is_answer: bool = False) -> HttpResponse:
    values = {"title": kind.title, "is_stopped": getattr(user, kind.value), "is_answer": is_answer}
    values["style"] = mark_safe(STYLE)  # noqa: S308 - a constant
    page = render_to_string("api/accounts/unsubscribe.html", values)
    headers = {"Content-Security-Policy": content_security_policy(form_action="'self'"), "Cache-Control": "no-store"}
    return HttpResponse(page, headers=headers)
