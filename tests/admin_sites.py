"""Helpers for tests of the two admin sites."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from django.test import Client

from api.models import User
from tests import factories

ADMIN, MANAGER = "/admin", "/manager"


def browser_of(user: User, **options: Any) -> Client:
    """Return a test client in which this user has signed in."""
    browser = Client(**options)
    browser.force_login(user)
    browser.user = user
    return browser


def sign_in(browser: Client, site: str, user: User, password: str = factories.PASSWORD, **options: Any) -> Any:
    return browser.post(f"{site}/login/", {"username": user.username, "password": password}, **options)


class _Form(HTMLParser):
    """Collects the values of a page's form fields."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._select = self._area = ""

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        name, value = attributes.get("name"), attributes.get("value") or ""
        if tag == "select":
            self._select = name
            self.values[name] = [] if "multiple" in attributes else ""
        elif tag == "option" and self._select and "selected" in attributes:
            selected = self.values[self._select]
            self.values[self._select] = [*selected, value] if isinstance(selected, list) else value
        elif tag == "textarea":
            self._area = name
            self.values[name] = ""
        elif tag == "input" and name and attributes.get("type") != "submit":
            if attributes.get("type") != "checkbox":
                self.values[name] = value
            elif "checked" in attributes:
                self.values[name] = value or "on"

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = ""
        if tag == "textarea":
            self._area = ""

    def handle_data(self, data):
        if self._area:
            self.values[self._area] += data.removeprefix("\r\n").removeprefix("\n")


def fields_of(page: Any) -> dict[str, Any]:
    """Return the values that an unchanged form of a page would send."""
    form = _Form()
    form.feed(page.content.decode())
    return form.values


def messages_of(page: Any) -> list[str]:
    """Return the messages on a page."""
    message_list = re.search(r'<ul class="messagelist">(.*?)</ul>', page.content.decode(), re.DOTALL)
    lines = re.findall(r"<li.*?</li>", message_list[1], re.DOTALL) if message_list else []
    return [unescape(re.sub("<[^>]*>", "", line)).strip() for line in lines]


def act(browser: Client, site: str, model: str, action: str, *rows: Any, **values: Any) -> list[str]:
    """Run a bulk action on these rows; return the messages of the page."""
    body = {"action": action, "_selected_action": [row.pk for row in rows], **values}
    page = browser.post(f"{site}/api/{model}/", body, follow=True)
    assert page.status_code == 200, page
    return messages_of(page)
