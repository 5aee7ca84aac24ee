"""`manage.py sentry_test`: send one event to Sentry and print the response."""

import gzip
import urllib.error
import urllib.request
import uuid
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from sentry_sdk.consts import EndpointType
from sentry_sdk.utils import Dsn

from backend.sentry_config import dsn_is_valid

TIMEOUT = 10  # seconds


class Command(BaseCommand):
    help = (
        "Send one event to Sentry; print its id and the server's response. Exit status 1 if the event was not accepted."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SENTRY_DSN:
            raise CommandError("SENTRY_DSN is not set: error tracking is off.")
        if not dsn_is_valid(settings.SENTRY_DSN):
            raise CommandError("SENTRY_DSN cannot be parsed. Copy it from the project's settings in Sentry.")
        event_id = uuid.uuid4().hex
        try:
            with urllib.request.urlopen(_build_request(event_id), timeout=TIMEOUT) as response:  # noqa: S310 - https or http
                status = f"{response.status} {response.reason}"
        except urllib.error.HTTPError as error:
            raise CommandError(f"Event {event_id}: the server returned {error.code} {error.reason}.") from None
        except OSError as error:
            cause = getattr(error, "reason", error)  # the error that urllib wraps
            reason = getattr(cause, "strerror", None) or cause
            raise CommandError(f"Event {event_id}: the server cannot be reached ({reason}).") from None
        self.stdout.write(f"Event {event_id}: the server returned {status}.")


def _build_request(event_id: str) -> urllib.request.Request:
    """Build the request that the SDK would send for one event; the SDK itself does not return the response."""
    event = {
        "event_id": event_id,
        "message": "A test of error tracking",
        "level": "info",
        "platform": "python",
        "release": settings.APP_VERSION,
        "environment": settings.DJANGO_ENVIRONMENT,
    }
    envelope = b"\n".join([orjson.dumps({"event_id": event_id}), orjson.dumps({"type": "event"}), orjson.dumps(event)])
    auth = Dsn(settings.SENTRY_DSN).to_auth("cosmo")
    return urllib.request.Request(  # noqa: S310 - the scheme is that of a DSN
        auth.get_api_url(EndpointType.ENVELOPE),
        data=gzip.compress(envelope),
        headers={
            "Content-Type": "application/x-sentry-envelope",
            "Content-Encoding": "gzip",
            "X-Sentry-Auth": auth.to_header(),
        },
    )
