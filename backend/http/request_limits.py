"""Limit the size of requests before anything reads them: first the headers, then the body, which is read here.

Django reads as many bytes as Content-Length says, so it would see a chunked body as empty.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from socket import SHUT_RD
from threading import Timer
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backend.http.error_pages import reject

MAX_HEADER = 8_190  # characters; the server limits each line, this limits repeated headers too
# Python before 3.11.10 unquotes a cookie in quadratic time. The cookie of django.contrib.messages may need 1,024.
MAX_COOKIE_ESCAPES = 1_100


class RequestLimitsMiddleware:
    """Rejects requests that are too large, and passes on complete bodies, with Content-Length or chunked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            _check_headers(request.META)
            body = _read_body(request.META, max_body(request.path_info))
        except _RejectedRequest as rejection:
            return reject(request, rejection.status, rejection.detail)
        stream = BytesIO(body)
        request.META["CONTENT_LENGTH"] = str(len(body)) if body else ""
        request.META["wsgi.input"] = request._stream = stream
        return self.get_response(request)


class _RejectedRequest(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def max_body(path: str) -> int:
    """Return the maximum body size in bytes for this path."""
    is_small = path.startswith(settings.SMALL_BODY_PATHS)
    return settings.SMALL_BODY if is_small else settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _check_headers(meta: Mapping[str, Any]) -> None:
    # The server joins the lines of a repeated header, so its line limit does not limit the header.
    is_long = any(name.startswith("HTTP_") and len(value) > MAX_HEADER for name, value in meta.items())
    if is_long or meta.get("HTTP_COOKIE", "").count("\\") > MAX_COOKIE_ESCAPES:
        raise _RejectedRequest(431, "A header of the request is too large.")
    codings = meta.get("HTTP_CONTENT_ENCODING", "").lower().split(",")
    if any(coding.strip() not in {"", "identity"} for coding in codings):
        raise _RejectedRequest(415, "Send the body without a Content-Encoding.")


def _read_body(meta: Mapping[str, Any], limit: int) -> bytes:
    if "HTTP_TRANSFER_ENCODING" not in meta:
        length = _declared_length(meta)
        if length > limit:
            raise _too_large(limit)
        body = _read(meta, length)
        if len(body) < length:
            raise _RejectedRequest(400, "The body is shorter than its Content-Length.")
        return body
    if not meta.get("wsgi.input_terminated"):
        raise _RejectedRequest(411, "Send the body with a Content-Length.")
    body = _read(meta, limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> _RejectedRequest:
    return _RejectedRequest(413, f"The body is larger than {limit // 1024:,} KiB.")


def _declared_length(meta: Mapping[str, Any]) -> int:
    text = meta.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _RejectedRequest(400, "Content-Length is not a number.")
    return int(text)


def _read(meta: Mapping[str, Any], size: int) -> bytes:
    if size == 0:
        return b""
    try:
        with _deadline(meta.get("gunicorn.socket")):
            body: bytes = meta["wsgi.input"].read(size)
            return body
    except Exception as error:  # servers raise different errors for invalid chunks and disconnected clients
        raise _RejectedRequest(400, "The body could not be read to its end.") from error


@contextmanager
def _deadline(connection: Any) -> Iterator[None]:
    """Close the client's side of the connection after WEB_TIMEOUT: no slow client blocks a thread for longer."""
    if connection is None:
        yield
        return
    timer = Timer(settings.WEB_TIMEOUT, _stop_reading, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop_reading(connection: Any) -> None:
    with suppress(OSError):  # the client has disconnected
        connection.shutdown(SHUT_RD)
