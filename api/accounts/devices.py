"""Devices on which a user has signed in, known by a long-lived cookie.

A known device has its own ceiling in the login throttle, so that strangers cannot lock its user out. A browser has one
cookie: accounts that share the browser have one row each, with the same key.
"""

import re
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.dispatch import receiver
from django.http import HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from api.accounts.models import Device
from api.audit.events import Event
from api.audit.trail import audit_event_recorded
from api.users.models import User
from backend import request_context

LIFETIME = timedelta(days=365)  # since its last login
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 random bits


def find_known_device(user: User | None) -> Device | None:
    """Return the device of this request if this user has signed in on it."""
    key = _sent_key()
    if not key:
        return None
    # The same query if there is no such user: the response time must not depend on it.
    return Device.objects.filter(key_hash=_hash(key), user_id=user.pk if user else 0).first()


def remember_device(user: User) -> str:
    """Renew or add the device of a user who has just signed in; return the value for its cookie."""
    key, now = _sent_key(), timezone.now()
    context = request_context.current()
    seen = {"last_seen_at": now, "user_agent": context.user_agent if context else ""}
    if key:
        devices = Device.objects.filter(key_hash=_hash(key))
        if devices.filter(user=user).update(**seen):
            return key
        if not devices.exists():
            key = ""  # we never issued this value, or no longer trust it
    key = key or secrets.token_urlsafe(32)
    device = Device(user=user, key_hash=_hash(key), created_at=now, **seen)
    Device.objects.bulk_create([device], ignore_conflicts=True)  # one browser may sign in twice in parallel
    return key


def forget_devices(user: User) -> None:
    """Forget this user's devices, for all accounts: their cookies may have been stolen."""
    Device.objects.filter(key_hash__in=user.devices.values("key_hash")).delete()


@receiver(audit_event_recorded, dispatch_uid="api.accounts.devices")
def forget_devices_of_disabled_user(event: Event, target: Any, **_: Any) -> None:
    if event == Event.USER_DISABLED:
        forget_devices(target)


def set_device_cookie(response: HttpResponse, key: str) -> None:
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        key,
        max_age=LIFETIME,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _sent_key() -> str:
    """Return the device key of the request, "" if there is none in our format."""
    context = request_context.current()
    value = context.cookie(settings.DEVICE_COOKIE_NAME) if context else ""
    return value if _KEY.fullmatch(value) else ""


def _hash(key: str) -> str:
    return salted_hmac("api.accounts.devices", key, algorithm="sha256").hexdigest()
