"""The two admin sites as a browser sees them, without a browser."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from django.test import Client

from api.models import User
from tests import factories

ADMIN, MANAGER = "/admin", "/manager"


def browser_of(user: User, **options: Any) -> Client:
    """A browser in which this person has signed in."""
    browser = Client(**options)
    browser.force_login(user)
    browser.user = user
    return browser


def sign_in(browser: Client, site: str, user: User, password: str = factories.PASSWORD, **options: Any) -> Any:
    return browser.post(f"{site}/login/", {"username": user.username, "password": password}, **options)


class _Form(HTMLParser):
    """What the fields of a page hold."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._select = self._area = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "select":
            self._select = name
            self.values[name] = [] if "multiple" in given else ""
        elif tag == "option" and self._select and "selected" in given:
            chosen = self.values[self._select]
            self.values[self._select] = [*chosen, value] if isinstance(chosen, list) else value
        elif tag == "textarea":
            self._area = name
            self.values[name] = ""
        elif tag == "input" and name and given.get("type") != "submit":
            if given.get("type") != "checkbox":
                self.values[name] = value
            elif "checked" in given:
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
    """What the form of a page would send if nobody changed it."""
    form = _Form()
    form.feed(page.content.decode())
    return form.values


def messages_of(page: Any) -> list[str]:
    """What a page says came of the last click."""
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.content.decode(), re.DOTALL)
    lines = re.findall(r"<li.*?</li>", found[1], re.DOTALL) if found else []
    return [unescape(re.sub("<[^>]*>", "", line)).strip() for line in lines]


def act(browser: Client, site: str, model: str, action: str, *rows: Any, **values: Any) -> list[str]:
    """Run a bulk action on these rows; what the page says of each."""
    body = {"action": action, "_selected_action": [row.pk for row in rows], **values}
    page = browser.post(f"{site}/api/{model}/", body, follow=True)
    assert page.status_code == 200, page
    return messages_of(page)
