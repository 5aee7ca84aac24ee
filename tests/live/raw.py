"""Requests that no library sends: bytes on a socket, and the response to them."""

import json
import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit


def exchange(url: str, pieces: Iterable[bytes], *, timeout: float = 30) -> tuple[int, dict[str, Any]]:
    """Send the pieces, each by itself, and return the status of the response and its JSON (of a page: {})."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        response = HTTPResponse(connection)
        response.begin()
        body = response.read()
        is_json = response.headers.get_content_type().endswith("json")
        return response.status, json.loads(body) if is_json and body else {}


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """The first line and the headers of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def chunks(body: bytes, size: int) -> list[bytes]:
    """The body in chunks of this size, without the last one (RFC 9112, 7.1)."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
