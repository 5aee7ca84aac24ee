"""The current request's id, user, client IP and trace. Every module can read them without an argument."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from time import perf_counter
from typing import Any

import orjson

from backend.redaction import redact_text

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_MAX_USER_AGENT = 300
_MAX_PATH = 1_000
# Bytes in a line about a rejected request without a user, because anyone can send many of them.
_REJECTED_PATH, _REJECTED_USER_AGENT = 48, 20  # the path with the route, which repeats most of it
# As in 192.0.2.1:443, [2001:db8::1]:443 and [2001:db8::1].
_BRACKETS_AND_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


class RequestContext:
    """One request, as seen by log records, throttles and audit events."""

    __slots__ = (
        "_request",
        "_user_id",
        "ip_address",
        "is_anonymous_rejection",
        "is_denial_logged",
        "is_sampled",
        "method",
        "parent_span_id",
        "path",
        "queries",
        "rejection_reason",
        "request_id",
        "span",
        "span_id",
        "started",
        "trace_id",
        "user_agent",
    )

    def __init__(
        self,
        *,
        request_id: str,
        ip_address: str | None = None,
        user_agent: str = "",
        traceparent: str = "",
        request: Any = None,
    ) -> None:
        self.request_id = request_id
        caller = _TRACEPARENT.fullmatch(traceparent)
        new_ids = os.urandom(24).hex()
        self.trace_id = caller[1] if caller else new_ids[:32]
        self.parent_span_id = caller[2] if caller else ""
        self.is_sampled = bool(caller and int(caller[3], 16) & 1)
        self.span_id = new_ids[32:]
        self.span: Any = None  # the backend.telemetry.spans.WorkSpan of this request or job, if spans are exported
        self.ip_address = ip_address
        self.user_agent = user_agent
        self.method: str = request.method if request is not None else ""
        self.path = printable(redact_text(request.path))[:_MAX_PATH] if request is not None else ""
        self.started = perf_counter()
        self.is_anonymous_rejection = False
        self.is_denial_logged = False
        self.rejection_reason = ""  # Django's reason, if it rejected the request before a view ran
        self.queries: Any = None  # the backend.database.query_recorder.QueryRecorder of this request
        self._request = request
        self._user_id: int | None = None

    @property
    def traceparent(self) -> str:
        """Return the W3C Trace Context header for work that this request causes elsewhere."""
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}"

    @property
    def route(self) -> str | None:
        """Return the pattern of the matched URL, such as api/tasks/<id:pk>/."""
        match = getattr(self._request, "resolver_match", None)
        return match.route if match else None

    @property
    def user_id(self) -> int | None:
        """Return the authenticated user's id, if it is known without a query."""
        if self._user_id is not None:
            return self._user_id
        # REST framework sets the user on the Django request. Django's user is lazy, and _cached_user exists once it has
        # been read.
        attributes = getattr(self._request, "__dict__", {})
        user = attributes.get("_cached_user") or attributes.get("user")
        is_lazy = type(user).__name__ == "SimpleLazyObject"
        return None if user is None or is_lazy else user.pk

    def note_response(self, status: int) -> None:
        """Note the response status. If it rejects an anonymous request, shorten its path and user agent for the log."""
        self.is_anonymous_rejection = (
            300 <= status < 500 and self.user_id is None
        )  # a redirect to the login page is a rejection, too
        if self.is_anonymous_rejection:
            self.path = _cut(self.path, _REJECTED_PATH - len(self.route or ""))
            self.user_agent = _cut(self.user_agent, _REJECTED_USER_AGENT)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie of the request, "" if it sent none."""
        value: str = getattr(self._request, "COOKIES", {}).get(name, "")
        return value

    @property
    def duration_ms(self) -> int:
        """Return the milliseconds since the request arrived."""
        return round((perf_counter() - self.started) * 1000)


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext | None:
    """Return the current request's context; None in commands, and in jobs that no request has started."""
    return _current.get()


def current_trace() -> tuple[str, str]:
    """Return the ids of the trace and the span. Outside requests and jobs, they are those of the process."""
    context = _current.get()
    return (context.trace_id, context.span_id) if context is not None else _process_trace


def _begin_process_trace() -> None:
    global _process_trace
    _process_trace = (os.urandom(16).hex(), os.urandom(8).hex())


_process_trace = ("", "")
_begin_process_trace()
os.register_at_fork(after_in_child=_begin_process_trace)


def set_current(context: RequestContext | None) -> None:
    """Make `context` the current one until the next call."""
    _current.set(context)


@contextmanager
def activate(context: RequestContext) -> Iterator[None]:
    """Make `context` the current one inside the block, and restore the previous one afterwards."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def note_rejection(status: int, reason: str) -> None:
    """Note the status and reason of Django's rejection, before its log record is written."""
    context = _current.get()
    if context is not None:
        context.rejection_reason = reason
        context.note_response(status)


def set_user(user_id: int) -> None:
    """Set the user of the current request, for example after a login."""
    context = _current.get()
    if context is not None:
        context._user_id = user_id


def from_request(request: Any, *, trusted_proxies: int) -> RequestContext:
    """Return the context of a Django request."""
    meta = request.META
    return RequestContext(
        request_id=request_id(meta.get("HTTP_X_REQUEST_ID", "")),
        traceparent=meta.get("HTTP_TRACEPARENT", ""),
        ip_address=client_ip(meta, trusted_proxies=trusted_proxies),
        user_agent=printable(redact_text(meta.get("HTTP_USER_AGENT", "")))[:_MAX_USER_AGENT],
        request=request,
    )


def request_id(incoming: str) -> str:
    """Return the incoming id if it is well formed, else a new one."""
    return incoming if _REQUEST_ID.fullmatch(incoming) else os.urandom(16).hex()


def client_ip(meta: Mapping[str, Any], *, trusted_proxies: int) -> str | None:
    """Return the IP address that connected to the outermost of our `trusted_proxies` proxies.

    Each proxy appends its peer's address to X-Forwarded-For. So only that many entries, counted from the right, can be
    trusted; the client may have sent the others. If the header is invalid or too short, return the peer's address.
    """
    peer = _parsed_ip(meta.get("REMOTE_ADDR", ""))
    if trusted_proxies == 0:
        return peer
    entries = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(entries) < trusted_proxies:
        return peer
    return _parsed_ip(entries[-trusted_proxies]) or peer


@lru_cache(maxsize=1_024)
def _parsed_ip(text: str) -> str | None:
    text = text.strip()
    match = _BRACKETS_AND_PORT.fullmatch(text)
    if match:
        text = match[1] or match[2] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _cut(text: str, size: int) -> str:
    """Return the beginning of `text` that takes at most `size` bytes in JSON, with a mark if it was cut."""
    for index, char in enumerate(text):
        size -= len(orjson.dumps(char)) - 2  # without the quotes
        if size < 0:
            return f"{text[:index]}..."
    return text


def printable(text: str) -> str:
    """Replace the characters that a database or a terminal rejects: control characters and lone surrogates."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
