"""Emails about passwords. A reset link is created when its email is sent."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from api.mail.models import MailState, OutgoingMail
from api.mail.outbox import MailDraft
from api.mail.renderers import Bodies, SkipMail, renders
from api.users.models import User

RESET, INVITATION, NOTICE = "password_reset", "invitation", "password_changed"
SELF_SERVICE_LIMIT = 3  # emails per hour to one user on anonymous request, so that strangers cannot flood them

_SUBJECTS = {
    RESET: "Cosmo: set a new password",
    INVITATION: "Cosmo: your account is ready",
    NOTICE: "Cosmo: your password was changed",
}


def build_reset_mail(user: User | None) -> MailDraft:
    """Return a reset email. Without a user it is discarded when due; it only equalizes the response time."""
    kind = INVITATION if user and not user.has_usable_password() else RESET
    return MailDraft(
        kind=kind,
        recipient=user.email if user else "",
        user_id=user.pk if user else None,
        subject=_SUBJECTS[kind],
        text_body="",
    )


def build_password_changed_mail(user: User) -> MailDraft:
    text, html = _render(NOTICE, user, url=settings.PUBLIC_BASE_URL + "/accounts/password-reset/")
    return MailDraft(
        kind=NOTICE, recipient=user.email, user_id=user.pk, subject=_SUBJECTS[NOTICE], text_body=text, html_body=html
    )


def reset_url(user: User) -> str:
    """Return a link that expires after PASSWORD_RESET_TIMEOUT, or on a login or a new password or email address."""
    base_url = settings.FRONTEND_URL or f"{settings.PUBLIC_BASE_URL}/accounts"
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    return f"{base_url}/password-reset/confirm/{uid}/{token}/"


@renders(RESET)
@renders(INVITATION)
def _render_reset(mail: OutgoingMail) -> Bodies:
    user = User.objects.filter(pk=mail.user_id or 0, is_active=True, email=mail.recipient).first()
    if user is None or (mail.asked_by_id is None and _self_service_limit_reached(user)):
        raise SkipMail
    return _render(mail.kind, user, url=reset_url(user))


def _self_service_limit_reached(user: User) -> bool:
    recent = OutgoingMail.objects.filter(
        user_id=user.pk,
        kind__in=[RESET, INVITATION],
        state=MailState.SENT,
        asked_by_id=None,
        created_at__gte=timezone.now() - timedelta(hours=1),
    )
    return recent.count() >= SELF_SERVICE_LIMIT


def _render(kind: str, user: User, *, url: str) -> Bodies:
    values = {
        "user": user,
        "url": url,
        "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
        "again_url": f"{settings.PUBLIC_BASE_URL}/accounts/password-reset/",
        "subject": _SUBJECTS[kind],
    }
    return Bodies(*(render_to_string(f"api/accounts/{kind}.{form}", values) for form in ("txt", "html")))
