"""Stopping the digest with one click, from a mail and without signing in (RFC 8058)."""

from django.conf import settings
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import mark_safe
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from api.users.models import User
from api.users.services import update_own_profile
from backend.error_pages import STYLE, policy

_SALT = "api.digests.unsubscribe"


def unsubscribe_url(user: User) -> str:
    """Good for ever, and for nothing else."""
    token = signing.dumps(user.pk, salt=_SALT)
    return settings.PUBLIC_BASE_URL + reverse("digest-unsubscribe", args=[token])


@method_decorator(csrf_exempt, name="dispatch")  # mail programs send the POST, without cookies
class UnsubscribeView(View):
    """GET asks, because mail scanners follow links; POST does it."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        _user(token)
        return _page(is_done=False)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        update_own_profile(user=_user(token), digest_opt_out=True)
        return _page(is_done=True)


def _user(token: str) -> User:
    try:
        user = User.objects.filter(pk=signing.loads(token, salt=_SALT)).first()
    except signing.BadSignature:
        user = None
    if user is None:
        raise Http404
    return user


def _page(*, is_done: bool) -> HttpResponse:
    values = {"is_done": is_done, "style": mark_safe(STYLE)}  # noqa: S308 - a constant
    page = render_to_string("api/digests/unsubscribe.html", values)
    headers = {"Content-Security-Policy": policy(form_action="'self'"), "Cache-Control": "no-store"}
    return HttpResponse(page, headers=headers)
