"""Who asks, and under which request id: known to every module during a request, without passing it around."""

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
# Bytes in a line about a request that was refused and whose user is unknown: strangers send as many as they like.
_REFUSED_PLACE, _REFUSED_USER_AGENT = 48, 20  # the route counts, too: it says most of the path
# As in 192.0.2.1:443, [2001:db8::1]:443 and [2001:db8::1].
_BRACKETS_AND_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


class RequestContext:
    """One request, as every log line, limit and audit row inside it sees it."""

    __slots__ = (
        *(
            "request_id",
            "trace_id",
            "span_id",
            "parent_span_id",
            "is_sampled",
            "span",
            "ip_address",
            "user_agent",
            "method",
            "path",
            "started",
        ),
        *("is_refused_stranger", "is_denial_logged", "refusal_reason", "queries", "_request", "_user_id"),
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
        made = os.urandom(24).hex()
        self.trace_id = caller[1] if caller else made[:32]
        self.parent_span_id = caller[2] if caller else ""
        self.is_sampled = bool(caller and int(caller[3], 16) & 1)
        self.span_id = made[32:]
        self.span: Any = None  # the backend.telemetry.spans.WorkSpan of this request or job, where spans are exported
        self.ip_address = ip_address
        self.user_agent = user_agent
        self.method: str = request.method if request is not None else ""
        self.path = printable(redact_text(request.path))[:_MAX_PATH] if request is not None else ""
        self.started = perf_counter()
        self.is_refused_stranger = False
        self.is_denial_logged = False
        self.refusal_reason = ""  # Django's, where it refused the request before any view did
        self.queries: Any = None  # the backend.database.query_recorder.QueryRecorder of this request
        self._request = request
        self._user_id: int | None = None

    @property
    def traceparent(self) -> str:
        """What is handed on with work that others do for this request (W3C Trace Context)."""
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}"

    @property
    def route(self) -> str | None:
        """The pattern that the address matched, like api/tasks/<id:pk>/."""
        match = getattr(self._request, "resolver_match", None)
        return match.route if match else None

    @property
    def user_id(self) -> int | None:
        """Whoever is known to ask; never asks a session or a database for it."""
        if self._user_id is not None:
            return self._user_id
        # REST framework puts the user that it found into the Django request; Django's own is lazy, and _cached_user is
        # there once somebody has looked.
        attributes = getattr(self._request, "__dict__", {})
        user = attributes.get("_cached_user") or attributes.get("user")
        is_lazy = type(user).__name__ == "SimpleLazyObject"
        return None if user is None or is_lazy else user.pk

    def note_response(self, status: int) -> None:
        """Note the response; cut what a stranger chose whose request was refused, for the lines still to come."""
        self.is_refused_stranger = 300 <= status < 500 and self.user_id is None  # a redirect to the login refuses, too
        if self.is_refused_stranger:
            self.path = _cut(self.path, _REFUSED_PLACE - len(self.route or ""))
            self.user_agent = _cut(self.user_agent, _REFUSED_USER_AGENT)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie of the request, "" if it sent none."""
        value: str = getattr(self._request, "COOKIES", {}).get(name, "")
        return value

    @property
    def duration_ms(self) -> int:
        """Milliseconds since the request came."""
        return round((perf_counter() - self.started) * 1000)


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext | None:
    """The request being served; None in commands and jobs that nobody asked for by HTTP."""
    return _current.get()


def current_trace() -> tuple[str, str]:
    """The ids of the trace and the span; what no request and no job does belongs to a trace of the process."""
    context = _current.get()
    return (context.trace_id, context.span_id) if context is not None else _process_trace


def _begin_process_trace() -> None:
    global _process_trace
    _process_trace = (os.urandom(16).hex(), os.urandom(8).hex())


_process_trace = ("", "")
_begin_process_trace()
os.register_at_fork(after_in_child=_begin_process_trace)


def set_current(context: RequestContext | None) -> None:
    """Make `context` the current one, until somebody enters another one or None."""
    _current.set(context)


@contextmanager
def activate(context: RequestContext) -> Iterator[None]:
    """`context` is the current one inside the block, and afterwards the one that was."""
    before = _current.set(context)
    try:
        yield
    finally:
        _current.reset(before)


def note_rejection(status: int, reason: str) -> None:
    """Note that Django refuses the request, and why, before its line about it is written."""
    context = _current.get()
    if context is not None:
        context.refusal_reason = reason
        context.note_response(status)


def set_user(user_id: int) -> None:
    """From here on the request is this user's: who signs in was nobody when the request came."""
    context = _current.get()
    if context is not None:
        context._user_id = user_id


def from_request(request: Any, *, trusted_proxies: int) -> RequestContext:
    """The context of a Django request."""
    meta = request.META
    return RequestContext(
        request_id=request_id(meta.get("HTTP_X_REQUEST_ID", "")),
        traceparent=meta.get("HTTP_TRACEPARENT", ""),
        ip_address=client_ip(meta, trusted_proxies=trusted_proxies),
        user_agent=printable(redact_text(meta.get("HTTP_USER_AGENT", "")))[:_MAX_USER_AGENT],
        request=request,
    )


def request_id(incoming: str) -> str:
    """The incoming id where it is well formed, else a new one."""
    return incoming if _REQUEST_ID.fullmatch(incoming) else os.urandom(16).hex()


def client_ip(meta: Mapping[str, Any], *, trusted_proxies: int) -> str | None:
    """The address of whoever reached the outermost of our `trusted_proxies` proxies.

    Each proxy appends the peer it saw to X-Forwarded-For, so only that many entries, counted from the right, are ours;
    what is further left was sent by the client. Nonsense, or a header too short, gives the peer's own address.
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
    """The beginning of `text` that takes so many bytes in JSON, with a mark where something is missing."""
    for index, char in enumerate(text):
        size -= len(orjson.dumps(char)) - 2  # without the quotes
        if size < 0:
            return f"{text[:index]}..."
    return text


def printable(text: str) -> str:
    """`text` without what a database or a terminal refuses: control characters and lone surrogates."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
