"""The login throttle, exact across processes: 5 failures for one account from one address, 30 for one address.

An attempt is counted before the password is hashed, else parallel attempts pass while the first one is checked. It is
given back if it succeeds, or if the fault is ours. All login paths share the same counters.
"""

import ipaddress
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil

from django.db import connection
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac
from prometheus_client import Counter

from api.common.errors import TooManyAttempts
from api.users.models import LoginAttemptCounter

WINDOW = timedelta(minutes=15)
ACCOUNT_LIMIT = 5
ADDRESS_LIMIT = 30

# One statement, so that it is exact without a lock. No row comes back where the limit is reached: a refused attempt
# is no failure and must not count as one.
_COUNT = """
    INSERT INTO api_loginattemptcounter AS counter (key, count, window_ends_at) VALUES (%s, 1, %s)
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN counter.window_ends_at <= %s THEN 1 ELSE counter.count + 1 END,
        window_ends_at = CASE WHEN counter.window_ends_at <= %s
            THEN excluded.window_ends_at ELSE counter.window_ends_at END
    WHERE counter.count < %s OR counter.window_ends_at <= %s
    RETURNING count
"""


THROTTLED = Counter("cosmo_login_attempts_throttled", "Login attempts that were refused unchecked.", ["limit"])
for _limit in ("account", "address"):
    THROTTLED.labels(_limit)  # there from the start, so that the first one is seen to increase


class InvalidCredentials(Exception):
    """Raised inside `count_attempt()` for an unknown account or a wrong password; carries the failures so far."""

    failures = 0

    @property
    def is_last(self) -> bool:
        """Whether the next attempt will be refused."""
        return self.failures >= ACCOUNT_LIMIT


@contextmanager
def count_attempt(*, account: str, ip_address: str | None) -> Iterator[None]:
    """Count one attempt; raise TooManyAttempts if a limit is reached. InvalidCredentials keeps it counted."""
    network = _network(ip_address)
    address_key = _key("address", network)
    account_key = _key("account", fold(account), network)
    try:
        _count(address_key, ADDRESS_LIMIT)
    except TooManyAttempts:
        THROTTLED.labels("address").inc()
        raise
    try:
        failures = _count(account_key, ACCOUNT_LIMIT)
    except TooManyAttempts:
        THROTTLED.labels("account").inc()
        _give_back(address_key)
        raise
    try:
        yield
    except InvalidCredentials as wrong:
        wrong.failures = failures
        raise
    except BaseException:
        _give_back(address_key, account_key)
        raise
    _give_back(address_key, account_key)


def _network(ip_address: str | None) -> str:
    """One subscriber: an IPv4 address, or the /64 in which an IPv6 host takes any address it likes."""
    if ip_address is None or ":" not in ip_address:
        return ip_address or ""
    return str(ipaddress.ip_network(f"{ip_address}/64", strict=False))


def fold(account: str) -> str:
    """The form in which two spellings of one account are the same."""
    return unicodedata.normalize("NFKC", account).casefold()


def _key(*parts: str) -> str:
    return salted_hmac("api.users.limits", "\n".join(parts), algorithm="sha256").hexdigest()


def _count(key: str, limit: int) -> int:
    """Failures in this window including this one."""
    now = timezone.now()
    with connection.cursor() as cursor:
        moment = connection.ops.adapt_datetimefield_value(now)
        end = connection.ops.adapt_datetimefield_value(now + WINDOW)
        cursor.execute(_COUNT, [key, end, moment, moment, limit, moment])
        row = cursor.fetchone()
    if row is None:
        raise TooManyAttempts(wait=_seconds_left(key, now))
    return int(row[0])


def _seconds_left(key: str, now: datetime) -> int:
    end = LoginAttemptCounter.objects.filter(pk=key).values_list("window_ends_at", flat=True).first()
    # Of two that come at once, the later one may have begun the window.
    left = min(end - now, WINDOW) if end else timedelta()
    return max(1, ceil(left.total_seconds()))


def _give_back(*keys: str) -> None:
    LoginAttemptCounter.objects.filter(pk__in=keys, count__gt=0).update(count=F("count") - 1)
