"""The login throttle, exact across processes and machines.

- 5 failures in 15 minutes for one name from one network, or 30 for one network: further attempts there are rejected.
- 50 failures in an hour for one name from all networks: one attempt per minute is allowed (the ceiling).

Counters use the typed name, not the account, so known and unknown names behave alike. An attempt is counted before the
password is hashed; otherwise parallel attempts would pass during the first check. A success or a server error returns
the attempt to its counters. All login paths share the same counters.
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

Limits = Mapping[str, Limit]  # by counter key, in the order in which the rows are locked

# One statement updates all counters of an attempt, so it is exact without a lock. A counter at its limit returns no row
# and stays unchanged: rejected attempts do not count as failures. {rows} and {limits} hold only placeholders.
_COUNT = """
    INSERT INTO api_loginattemptcounter AS counter (key, count, window_ends_at) VALUES {rows}
    ON CONFLICT (key) DO UPDATE SET
        count = CASE WHEN counter.window_ends_at <= %s THEN 1 ELSE counter.count + 1 END,
        window_ends_at = CASE WHEN counter.window_ends_at <= %s
            THEN excluded.window_ends_at ELSE counter.window_ends_at END
    WHERE counter.window_ends_at <= %s OR counter.count < CASE excluded.key {limits} END
    RETURNING key, count, window_ends_at
"""
# An UPDATE would lock the rows in another order. A window that began in the meantime stays unchanged.
_RETURN_ATTEMPT = """
    INSERT INTO api_loginattemptcounter AS counter (key, count, window_ends_at) VALUES {rows}
    ON CONFLICT (key) DO UPDATE SET count = counter.count - 1
    WHERE counter.count > 0 AND counter.window_ends_at = excluded.window_ends_at
"""

THROTTLED = Counter("cosmo_login_attempts_throttled", "Login attempts rejected by the login throttle.", ["limit"])
for _limit in (NETWORK, NAME, CEILING):
    THROTTLED.labels(_limit.name)  # exported from the start, so that the first increase is visible


@dataclass(frozen=True)
class _Counted:
    count: int
    window_ends_at: Any  # as the database returned it


class InvalidCredentials(Exception):
    """An unknown account, a wrong password or an invalid link; raised inside `count_attempt()`.

    `count_attempt()` adds the failures of this name from this network, and the limits that were just reached.
    """

    failures = 0
    reached: tuple[Limit, ...] = ()


@contextmanager
def count_attempt(name: str | None = None, *, device: Device | None = None) -> Iterator[None]:
    """Count one attempt; raise TooManyAttempts if a limit is reached.

    Only InvalidCredentials keeps the attempt counted. Without a name, only the network counts. A known device of the
    account uses its own ceiling instead of the name's.
    """
    limits = _limits("login", name, device)
    try:
        counted = _count_all(limits)
    except _Throttled as error:
        THROTTLED.labels(error.limit.name).inc()
        raise
    try:
        yield
    except InvalidCredentials as error:
        counts = {limit: counted[key].count for key, limit in limits.items() if key in counted}
        error.failures = counts.get(NAME, 0)
        error.reached = tuple(limit for limit in (NAME, CEILING) if counts.get(limit) == limit.failures)
        raise
    except BaseException:
        _return_attempt(counted)
        raise
    _return_attempt(counted)


def count_request(kind: str, name: str) -> None:
    """Count an anonymous request that writes permanent rows; raise TooManyAttempts if a limit is reached.

    The limits equal those of failed logins. Each kind has its own counters.
    """
    _count_all(_limits(kind, name))


class _Throttled(TooManyAttempts):
    def __init__(self, limit: Limit, key: str) -> None:
        super().__init__(wait=_seconds_left(key, limit))
        self.limit = limit


def _limits(kind: str, name: str | None, device: Device | None = None) -> Limits:
    context = request_context.current()
    network = _network(context.ip_address if context else None)
    limits = {_key(kind, "network", network): NETWORK}
    if name is not None:
        normalized = normalize_login(name)
        limits[_key(kind, "name", normalized, network)] = NAME
        limits[_key(kind, "device", str(device.pk)) if device else _key(kind, "ceiling", normalized)] = CEILING
    return limits


def _network(ip_address: str | None) -> str:
    """Return the network of one client: its IPv4 address, or its IPv6 /64, within which addresses vary."""
    if ip_address is None or ":" not in ip_address:
        return ip_address or ""
    return str(ipaddress.ip_network(f"{ip_address}/64", strict=False))


def _key(*parts: str) -> str:
    return salted_hmac("api.accounts.throttle", "\n".join(parts), algorithm="sha256").hexdigest()


def _count_all(limits: Limits) -> Mapping[str, _Counted]:
    """Count in all counters, or in none and raise _Throttled for the first limit that is reached."""
    counted = _count(limits)
    rejected = [key for key in limits if key not in counted]
    if [limits[key] for key in rejected] == [CEILING]:
        limits = {_key("minute", rejected[0]): ABOVE_CEILING}
        this_minute = _count(limits)
        counted |= this_minute
        rejected = [key for key in limits if key not in this_minute]
    if rejected:
        _return_attempt(counted)
        raise _Throttled(limits[rejected[0]], rejected[0])
    return counted


def _count(limits: Limits) -> dict[str, _Counted]:
    """Increase each counter that is below its limit; return only those."""
    now = timezone.now()
    moment = connection.ops.adapt_datetimefield_value(now)
    ends = [connection.ops.adapt_datetimefield_value(now + limit.window) for limit in limits.values()]
    rows = [part for key, end in zip(limits, ends, strict=True) for part in (key, 1, end)]
    cases = [part for key, limit in limits.items() for part in (key, limit.failures)]
    statement = _COUNT.format(rows=_rows(len(limits)), limits=" ".join(["WHEN %s THEN %s"] * len(limits)))
    with connection.cursor() as cursor:
        cursor.execute(statement, [*rows, moment, moment, moment, *cases])
        return {key: _Counted(count, end) for key, count, end in cursor.fetchall()}


def _return_attempt(counted: Mapping[str, _Counted]) -> None:
    if counted:
        rows = [part for key, counter in counted.items() for part in (key, 0, counter.window_ends_at)]
        with connection.cursor() as cursor:
            cursor.execute(_RETURN_ATTEMPT.format(rows=_rows(len(counted))), rows)


def _rows(number: int) -> str:
    return ", ".join(["(%s, %s, %s)"] * number)


def _seconds_left(key: str, limit: Limit) -> int:
    now: datetime = timezone.now()
    end = LoginAttemptCounter.objects.filter(pk=key).values_list("window_ends_at", flat=True).first()
    # A parallel attempt may have started the window after `now`.
    left = min(end - now, limit.window) if end else timedelta()
    return max(1, ceil(left.total_seconds()))
