"""`manage.py sentry_test`: sends one event, and says what Sentry answered."""

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
    help = "Send one event to Sentry; print its id and what the server said. Exit status 1 if it did not take it."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SENTRY_DSN:
            raise CommandError("SENTRY_DSN is not set: error tracking is off.")
        if not dsn_is_valid(settings.SENTRY_DSN):
            raise CommandError("SENTRY_DSN cannot be parsed. Copy it from the project's settings in Sentry.")
        event_id = uuid.uuid4().hex
        try:
            with urllib.request.urlopen(_request(event_id), timeout=TIMEOUT) as answer:  # noqa: S310 - https or http
                said = f"{answer.status} {answer.reason}"
        except urllib.error.HTTPError as refusal:
            raise CommandError(f"Event {event_id}: the server said {refusal.code} {refusal.reason}.") from None
        except OSError as error:
            cause = getattr(error, "reason", error)  # what urllib wraps
            told = getattr(cause, "strerror", None) or cause
            raise CommandError(f"Event {event_id}: the server cannot be reached ({told}).") from None
        self.stdout.write(f"Event {event_id}: the server said {said}.")


def _request(event_id: str) -> urllib.request.Request:
    """An envelope with one event, as the SDK would send it; directly, because the SDK tells no answer."""
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
