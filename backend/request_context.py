"""Who asks, and under which request id: known to every module during a request, without passing it around."""

import ipaddress
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_MAX_USER_AGENT = 300
# As in 192.0.2.1:443, [2001:db8::1]:443 and [2001:db8::1].
_BRACKETS_AND_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


@dataclass(frozen=True, slots=True)
class RequestContext:
    request_id: str
    ip_address: str | None
    user_agent: str


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext | None:
    """The request being served; None in commands and jobs that nobody asked for by HTTP."""
    return _current.get()


@contextmanager
def serving(context: RequestContext) -> Iterator[None]:
    """Make `context` the current one for the duration of the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def from_meta(meta: Mapping[str, Any], *, trusted_proxies: int) -> RequestContext:
    """The context of a request, from its WSGI environ."""
    return RequestContext(
        request_id=request_id(meta.get("HTTP_X_REQUEST_ID", "")),
        ip_address=client_ip(meta, trusted_proxies=trusted_proxies),
        user_agent=printable(meta.get("HTTP_USER_AGENT", ""))[:_MAX_USER_AGENT],
    )


def request_id(incoming: str) -> str:
    """The incoming id where it is well formed, else a new one."""
    return incoming if _REQUEST_ID.fullmatch(incoming) else uuid.uuid4().hex


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


def printable(text: str) -> str:
    """`text` without what a database or a terminal refuses: control characters and lone surrogates."""
    return "".join(char if char.isprintable() else "?" for char in text)
