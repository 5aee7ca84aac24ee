"""The login throttle, exact across processes and machines.

- 5 failures in 15 minutes for one name from one network, or 30 for one network, refuse every further attempt there.
- 50 failures in an hour for one name from all networks leave one attempt a minute (the ceiling).

Names count as they were typed, never by the account, so that known and unknown names behave alike. An attempt is
counted before the password is hashed, else parallel attempts pass while the first one is checked. It is given back if
it succeeds, or if the fault is ours. All login paths share the same counters.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac
from prometheus_client import Counter

from api.accounts.models import Device, LoginAttemptCounter
from api.common.errors import TooManyAttempts
from api.users.login_names import normalize_login
from backend import request_context


@dataclass(frozen=True)
class Limit:
    name: str  # the value of the metric's label
    failures: int
    window: timedelta


NETWORK = Limit("network", 30, timedelta(minutes=15))
NAME = Limit("name", 5, timedelta(minutes=15))
CEILING = Limit("ceiling", 50, timedelta(hours=1))
ABOVE_CEILING = Limit("ceiling", 1, timedelta(minutes=1))

Limits = Mapping[str, Limit]  # by the key of the counter, in the order of their rows' locks

# One statement for all counters of an attempt, so that it is exact without a lock. A counter whose limit is reached
# returns no row and stays as it is: a refused attempt is no failure. {rows} and {limits} are placeholders alone.
_COUNT = """
    INSERT INTO api_loginattemptcounter AS counter (key, count, window_ends_at) VALUES {rows}
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN counter.window_ends_at <= %s THEN 1 ELSE counter.count + 1 END,
        window_ends_at = CASE WHEN counter.window_ends_at <= %s
            THEN excluded.window_ends_at ELSE counter.window_ends_at END
    WHERE counter.window_ends_at <= %s OR counter.count < CASE excluded.key {limits} END
    RETURNING key, count, window_ends_at
"""
# Not an UPDATE, which would lock the rows in another order. A window that has begun since then is left alone.
_GIVE_BACK = """
    INSERT INTO api_loginattemptcounter AS counter (key, count, window_ends_at) VALUES {rows}
    ON CONFLICT (key) DO UPDATE SET count = counter.count - 1
    WHERE counter.count > 0 AND counter.window_ends_at = excluded.window_ends_at
"""

THROTTLED = Counter("cosmo_login_attempts_throttled", "Login attempts that were refused unchecked.", ["limit"])
for _limit in (NETWORK, NAME, CEILING):
    THROTTLED.labels(_limit.name)  # there from the start, so that the first one is seen to increase


@dataclass(frozen=True)
class _Counted:
    count: int
    window_ends_at: Any  # as the database returned it


class InvalidCredentials(Exception):
    """Raised inside `count_attempt()` for an unknown account, a wrong password or an invalid link.

    On the way out it carries the failures of this name from this network, and the limits that it has just reached.
    """

    failures = 0
    reached: tuple[Limit, ...] = ()


@contextmanager
def count_attempt(name: str | None = None, *, device: Device | None = None) -> Iterator[None]:
    """Count one attempt; raise TooManyAttempts if a limit is reached. InvalidCredentials keeps it counted.

    Without a name, only the network counts. A device of the account has a ceiling of its own, instead of the name's.
    """
    limits = _limits("login", name, device)
    try:
        counted = _take(limits)
    except _Throttled as refusal:
        THROTTLED.labels(refusal.limit.name).inc()
        raise
    try:
        yield
    except InvalidCredentials as error:
        counts = {limit: counted[key].count for key, limit in limits.items() if key in counted}
        error.failures = counts.get(NAME, 0)
        error.reached = tuple(limit for limit in (NAME, CEILING) if counts.get(limit) == limit.failures)
        raise
    except BaseException:
        _give_back(counted)
        raise
    _give_back(counted)


def count_request(kind: str, name: str) -> None:
    """Count an anonymous request that would leave permanent rows; raise TooManyAttempts if a limit is reached.

    The limits are those of failed logins, with counters of their own for each kind.
    """
    _take(_limits(kind, name))


class _Throttled(TooManyAttempts):
    def __init__(self, limit: Limit, key: str) -> None:
        super().__init__(wait=_seconds_left(key, limit))
        self.limit = limit


def _limits(kind: str, name: str | None, device: Device | None = None) -> Limits:
    context = request_context.current()
    network = _network(context.ip_address if context else None)
    limits = {_key(kind, "network", network): NETWORK}
    if name is not None:
        folded = normalize_login(name)
        limits[_key(kind, "name", folded, network)] = NAME
        limits[_key(kind, "device", str(device.pk)) if device else _key(kind, "ceiling", folded)] = CEILING
    return limits


def _network(ip_address: str | None) -> str:
    """Return the network of one subscriber: an IPv4 address, or the /64 in which an IPv6 host takes any address."""
    if ip_address is None or ":" not in ip_address:
        return ip_address or ""
    return str(ipaddress.ip_network(f"{ip_address}/64", strict=False))


def _key(*parts: str) -> str:
    return salted_hmac("api.accounts.throttle", "\n".join(parts), algorithm="sha256").hexdigest()


def _take(limits: Limits) -> Mapping[str, _Counted]:
    """Count in all of these, or in none and raise _Throttled for the first limit that is reached."""
    counted = _count(limits)
    refused = [key for key in limits if key not in counted]
    if [limits[key] for key in refused] == [CEILING]:
        limits = {_key("minute", refused[0]): ABOVE_CEILING}
        this_minute = _count(limits)
        counted |= this_minute
        refused = [key for key in limits if key not in this_minute]
    if refused:
        _give_back(counted)
        raise _Throttled(limits[refused[0]], refused[0])
    return counted


def _count(limits: Limits) -> dict[str, _Counted]:
    """Count one more in each counter that is below its limit; return those alone."""
    now = timezone.now()
    moment = connection.ops.adapt_datetimefield_value(now)
    ends = [connection.ops.adapt_datetimefield_value(now + limit.window) for limit in limits.values()]
    rows = [part for key, end in zip(limits, ends, strict=True) for part in (key, 1, end)]
    cases = [part for key, limit in limits.items() for part in (key, limit.failures)]
    statement = _COUNT.format(rows=_rows(len(limits)), limits=" ".join(["WHEN %s THEN %s"] * len(limits)))
    with connection.cursor() as cursor:
        cursor.execute(statement, [*rows, moment, moment, moment, *cases])
        return {key: _Counted(count, end) for key, count, end in cursor.fetchall()}


def _give_back(counted: Mapping[str, _Counted]) -> None:
    if counted:
        rows = [part for key, found in counted.items() for part in (key, 0, found.window_ends_at)]
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK.format(rows=_rows(len(counted))), rows)


def _rows(number: int) -> str:
    return ", ".join(["(%s, %s, %s)"] * number)


def _seconds_left(key: str, limit: Limit) -> int:
    now: datetime = timezone.now()
    end = LoginAttemptCounter.objects.filter(pk=key).values_list("window_ends_at", flat=True).first()
    # Of two that come at once, the later one may have begun the window.
    left = min(end - now, limit.window) if end else timedelta()
    return max(1, ceil(left.total_seconds()))
