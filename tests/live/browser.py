"""A browser without a screen, which comes from any address of this machine."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.live.server import Server


class Browser:
    """Sends the CSRF token of the page before, as a person's does."""

    def __init__(self, server: Server, address: str = "127.0.0.1") -> None:
        self.server = server
        self.session = requests.Session()
        self.session.mount("http://", From(address))

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.server.url + path, allow_redirects=False, timeout=30, **options)

    def post(self, path: str, body: dict[str, Any] | None = None, **options: Any) -> requests.Response:
        values = {"csrfmiddlewaretoken": self.session.cookies.get("csrftoken", ""), **(body or {})}
        return self.session.post(self.server.url + path, data=values, allow_redirects=False, timeout=30, **options)

    def sign_in(self, site: str, username: str, password: str = "", **options: Any) -> requests.Response:
        self.get(f"{site}/login/")
        values = {"username": username, "password": password or self.server.passwords[username]}
        return self.post(f"{site}/login/", values, **options)


class From(HTTPAdapter):
    """Asks from one of this machine's addresses: limits count by address."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, source_address=(self.address, 0), **options)
