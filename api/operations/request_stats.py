"""Request statistics of the last hour from performance.log. Reading stops at SECONDS and MAX_BYTES."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from api.operations.log_access import IsVisible
from api.operations.source_locations import view_location
from backend.formatters import timestamp
from backend.logs.reader import Entry, ReverseLogReader
from backend.logs.search import LogQuery, log_paths

MINUTES = 60
SECONDS = 0.8  # reading time
MAX_BYTES = 64 * 1024 * 1024
MAX_ROUTES = 8


@dataclass
class RequestStats:
    """Statistics of the requests of a minute or of a route."""

    durations: list[int] = field(default_factory=list)  # ms
    errors: int = 0

    @property
    def requests(self) -> int:
        return len(self.durations)

    @property
    def percentile_95(self) -> int | None:
        """Return the 95th percentile of the durations in ms, or None without requests."""
        return sorted(self.durations)[ceil(0.95 * len(self.durations)) - 1] if self.durations else None


@dataclass
class RouteStats(RequestStats):
    """Statistics of the requests of a route, with its most notable queries."""

    queries: int = 0
    slowest_query: dict[str, Any] = field(default_factory=dict)
    repeated_query: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    route: str = ""

    @property
    def max_duration(self) -> int:
        return max(self.durations)

    @property
    def queries_per_request(self) -> float:
        return round(self.queries / self.requests, 1)

    @property
    def source_location(self) -> str:
        return view_location(self.method, self.route)


@dataclass
class HourStats:
    """Statistics of the last hour by minute and by route."""

    starts: list[datetime]  # of the minutes, the oldest first
    minutes: list[RequestStats]
    routes: list[RouteStats]  # the slowest first
    total: RequestStats
    read_minutes: int  # the number of latest minutes that were read

    @property
    def is_truncated(self) -> bool:
        return self.read_minutes < len(self.minutes)


def read_last_hour(now: datetime, *, is_visible: IsVisible | None) -> HourStats:
    """Return the statistics of the hour before `now` (UTC), from the visible log records."""
    this_minute = now.replace(second=0, microsecond=0)
    starts = [this_minute - timedelta(minutes=ago) for ago in reversed(range(MINUTES))]
    minutes = {f"{start:%Y-%m-%dT%H:%M}": RequestStats() for start in starts}
    routes: defaultdict[tuple[str, str], RouteStats] = defaultdict(RouteStats)
    total = RequestStats()
    (path,) = log_paths(["performance"])
    lines = ReverseLogReader(
        path,
        line_filter=LogQuery(event="request").line_filter,
        matches=is_visible or bool,
        after=timestamp(starts[0].timestamp()),
        seconds=SECONDS,
        max_bytes=MAX_BYTES,
    )
    for entry in lines:
        minute, request = minutes.get(entry.timestamp[:16]), entry.values.get("request")
        duration, is_error = _duration(entry), _is_error(entry)
        if minute is None or duration is None or not isinstance(request, dict):
            continue
        route = routes[str(request.get("method")), str(request.get("route") or "")]
        for stats in (minute, route, total):
            stats.durations.append(duration)
            stats.errors += is_error
        _add_queries(route, entry.values.get("database"))
    for (method, name), route in routes.items():
        route.method, route.route = method, name
    read_minutes = sum(key > lines.reached[:16] for key in minutes) if lines.reached else MINUTES
    slowest_routes = sorted(routes.values(), key=lambda route: route.percentile_95 or 0, reverse=True)[:MAX_ROUTES]
    return HourStats(starts, [*minutes.values()], slowest_routes, total, read_minutes)


def _duration(entry: Entry) -> int | None:
    performance = entry.values.get("performance")
    duration = performance.get("duration_ms") if isinstance(performance, dict) else None
    return duration if isinstance(duration, int) else None


def _is_error(entry: Entry) -> bool:
    status = entry.values.get("status_code")
    return isinstance(status, int) and status >= 500


def _add_queries(route: RouteStats, database: Any) -> None:
    if not isinstance(database, dict):
        return
    route.queries += database.get("queries_count") or 0
    for query in database.get("slow_queries") or []:
        if query["duration_ms"] > route.slowest_query.get("duration_ms", -1):
            route.slowest_query = query
    for query in database.get("likely_n_plus_one") or []:
        if query["count"] > route.repeated_query.get("count", 0):
            route.repeated_query = query
