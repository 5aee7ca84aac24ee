"""Attacks on a real server with two workers: no row changes, and no response reveals superusers."""

import secrets
from functools import cache
from typing import Any

import pytest

from tests.live.browser import Browser
from tests.live.server import Server

NEW = "a new and longer passphrase"


@cache
def signed_in(server: Server, username: str) -> dict[str, str]:
    """The headers of this person, who signs in once for all tests below."""
    return server.sign_in(username, server.passwords[username])


def users(server: Server) -> dict[str, dict[str, Any]]:
    """Return what a superuser sees of each user, {username: row}."""
    root = signed_in(server, "root.admin")
    found = server.request("GET", "/api/users/?page_size=100", headers=root).json()
    return {user["username"]: user for user in found["results"]}


@pytest.fixture(scope="module")
def ids(server) -> dict[str, int]:
    """What the addresses below name."""
    found = users(server)
    staff = [user for user in found.values() if user["role"] == "staff"]
    return {
        "self": found["maria.manager"]["id"],
        "root": found["root.admin"]["id"],
        "peer": found["daniel.manager"]["id"],
        "staff": staff[0]["id"],
    }


@pytest.fixture(scope="module")
def manager_browser(server) -> Browser:
    """maria.manager, who would like to be more."""
    browser = Browser(server)
    assert browser.sign_in("/manager", "maria.manager").status_code == 302
    return browser


PERSON = {
    "username": "mallory",
    "email": "mallory@example.com",
    "department": "general",
    "timezone": "UTC",
    "role": "staff",
    "is_active": "on",
}
IN_THE_LIST = {
    "form-TOTAL_FORMS": "1",
    "form-INITIAL_FORMS": "1",
    "form-0-id": "{staff}",
    "form-0-role": "superuser",
    "_save": "Save",
}
NEW_PERSON = {"username": "mallory", "email": "mallory@example.com", "role": "staff"}
COMPLETE = "/manager/autocomplete/?app_label=api&"
FLAGS = {"is_superuser": "on", "is_staff": "on", "groups": "1", "user_permissions": "1"}


def act(action: str, row: str) -> dict[str, str]:
    return {"action": action, "_selected_action": row}


# (what is tried, method, path, body, what may be answered)
FORGED = [
    ("to be superuser", "POST", "/manager/api/user/{self}/change/", PERSON | {"role": "superuser"}, {403}),
    ("to set their own flags", "POST", "/manager/api/user/{self}/change/", PERSON | FLAGS, {403}),
    ("to change their own account", "POST", "/manager/api/user/{self}/change/", PERSON, {403}),
    ("to change another manager", "POST", "/manager/api/user/{peer}/change/", PERSON, {403}),
    ("to disable another manager", "POST", "/manager/api/user/{peer}/change/", {"username": "x"}, {403}),
    ("to see a superuser", "GET", "/manager/api/user/{root}/change/", None, {404}),
    ("to change a superuser", "POST", "/manager/api/user/{root}/change/", PERSON, {404}),
    ("to read the history of a superuser", "GET", "/manager/api/user/{root}/history/", None, {404}),
    ("to send a superuser a mail", "POST", "/manager/api/user/{root}/password-reset/", {}, {404}),
    ("to end a superuser's sessions", "POST", "/manager/api/user/{root}/end-sessions/", {}, {404}),
    ("to end others' sessions", "POST", "/manager/api/user/{staff}/end-sessions/", {}, {302}),
    ("to make a manager", "POST", "/manager/api/user/add/", PERSON | {"role": "manager"}, {200}),
    ("to make a superuser", "POST", "/manager/api/user/add/", PERSON | {"role": "superuser"}, {200}),
    ("to make one in a popup", "POST", "/manager/api/user/add/?_popup=1", PERSON | {"role": "superuser"}, {200}),
    ("to promote staff", "POST", "/manager/api/user/{staff}/change/", PERSON | {"role": "manager"}, {200}),
    ("to promote more", "POST", "/manager/api/user/{staff}/change/", PERSON | {"role": "superuser"}, {200}),
    ("to erase somebody", "POST", "/manager/api/user/{staff}/delete/", {"post": "yes"}, {403}),
    ("to see a password form", "GET", "/manager/api/user/{staff}/password/", None, {403}),
    ("to set a password", "POST", "/manager/api/user/{staff}/password/", {"new_password1": NEW}, {403}),
    ("to set a superuser's password", "POST", "/manager/api/user/{root}/password/", {"new_password1": NEW}, {403}),
    ("to set it elsewhere", "POST", "/admin/api/user/{staff}/password/", {"new_password1": NEW}, {403}),
    ("to enter /admin/", "GET", "/admin/", None, {403}),
    ("to edit in /admin/", "POST", "/admin/api/user/{staff}/change/", PERSON, {403}),
    ("to act in /admin/", "POST", "/admin/api/user/", act("deactivate", "{staff}"), {403}),
    ("to act on the hidden", "POST", "/manager/api/user/", act("deactivate", "{root}"), {302}),
    ("to act on a peer", "POST", "/manager/api/user/", act("deactivate", "{peer}"), {302}),
    ("to erase many", "POST", "/manager/api/user/", act("delete_selected", "{staff}"), {302, 403}),
    ("to edit in the list", "POST", "/manager/api/user/", IN_THE_LIST, {200, 302}),
    ("to forge the trail", "POST", "/manager/api/auditentry/add/", {"event": "logout"}, {403}),
    ("to change the trail", "POST", "/manager/api/auditentry/1/change/", {"event": "logout"}, {403, 404}),
    ("to delete from the trail", "POST", "/manager/api/auditentry/1/delete/", {"post": "yes"}, {403, 404}),
    ("to empty the trail", "POST", "/manager/api/auditentry/", act("delete_selected", "1"), {302}),
    ("to write a mail", "POST", "/manager/api/outgoingmail/add/", {"recipient": "all@example.com"}, {403}),
    ("to guess by a filter", "GET", "/manager/api/user/?password__startswith=argon2", None, {400}),
    ("to guess by a relation", "GET", "/manager/api/task/?created_by__password__startswith=a", None, {400}),
    ("to guess by an expression", "GET", "/manager/api/user/?role__regex=(", None, {400}),
    ("to list the hidden", "GET", "/manager/api/user/?role__exact=superuser", None, {200}),
    ("to search the hidden", "GET", "/manager/api/user/?q=root.admi", None, {200}),
    ("to read of the hidden", "GET", "/manager/api/auditentry/?object_type=user&object_id={root}", None, {200}),
    ("to choose by another field", "GET", "/manager/api/user/?_popup=1&_to_field=password", None, {400}),
    ("to fill in the hidden", "GET", "/manager/api/task/add/?assigned_to={root}", None, {200}),
    ("to make a superuser an owner", "GET", "/manager/api/property/add/?owners={root}", None, {200}),
    ("to make the form name a superuser", "POST", "/manager/api/property/add/", {"owners": "{root}"}, {200}),
    ("to assign a task to one", "POST", "/manager/api/task/", act("assign", "1") | {"assigned_to": "{root}"}, {302}),
    ("to complete the hidden", "GET", COMPLETE + "model_name=task&field_name=created_by", None, {200}),
    ("to complete owners", "GET", COMPLETE + "model_name=property&field_name=owners", None, {200}),
    ("to complete with a NUL", "GET", COMPLETE + "model_name=task&field_name=property&term=%00", None, {400}),
    ("to read groups", "GET", "/manager/autocomplete/?app_label=auth&model_name=group&field_name=x", None, {403, 404}),
    ("a way around by content type", "GET", "/manager/r/1/1/", None, {404}),
    ("a page of Django's", "GET", "/manager/auth/group/", None, {404}),
    ("to end somebody's session", "DELETE", "/api/auth/sessions/00000000-0000-4000-8000-000000000000/", None, {404}),
    ("to be superuser by the API", "PATCH", "/api/users/{self}/", {"role": "superuser"}, {403}),
    ("to be superuser as oneself", "PATCH", "/api/auth/me/", {"role": "superuser"}, {403}),
    ("to promote by the API", "PATCH", "/api/users/{staff}/", {"role": "manager"}, {403}),
    ("to set a password by the API", "PATCH", "/api/users/{staff}/", {"password": NEW}, {403}),
    ("to set a flag by the API", "PATCH", "/api/users/{staff}/", {"is_superuser": "true"}, {400}),
    ("to make a superuser by the API", "POST", "/api/users/", NEW_PERSON | {"role": "superuser"}, {403}),
    ("to give a password by the API", "POST", "/api/users/", NEW_PERSON | {"password": NEW}, {403}),
    ("to mail a superuser by the API", "POST", "/api/users/{root}/password-reset/", {}, {404}),
    ("to change a superuser by the API", "PATCH", "/api/users/{root}/", {"first_name": "x"}, {404}),
    ("to see a superuser by the API", "GET", "/api/users/{root}/", None, {404}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"), [row[1:] for row in FORGED], ids=[r[0] for r in FORGED]
)
def test_a_manager_tries(server, manager_browser, ids, method, path, body, expected):
    before = users(server)
    filled = {name: str(value).format(**ids) for name, value in (body or {}).items()}

    path = path.format(**ids)
    if path.startswith("/api/"):
        token = signed_in(server, "maria.manager")
        answer = server.request(method, path, json=filled if body is not None else None, headers=token)
    elif method == "GET":
        answer = manager_browser.get(path)
    else:
        answer = manager_browser.post(path, filled)

    assert answer.status_code in expected, answer.text[:2000]
    assert users(server) == before
    assert "root.admin" not in answer.text
    assert "Ruth" not in answer.text  # the first name of the superuser


def test_a_person_made_by_a_manager_has_no_password_and_no_flag(server, manager_browser):
    name = f"guest.{secrets.token_hex(4)}"
    body = PERSON | FLAGS | {"username": name, "email": f"{name}@example.com", "password": NEW, "password1": NEW}

    assert manager_browser.post("/manager/api/user/add/", body).status_code == 302

    login = server.request("POST", "/api/auth/login/", json={"username": name, "password": NEW})
    assert login.status_code == 401
    assert users(server)[name]["role"] == "staff"


def test_another_persons_session_cannot_be_ended(server, manager_browser):
    victim = server.sign_in("daniel.manager", server.passwords["daniel.manager"])
    (session,) = [
        s for s in server.request("GET", "/api/auth/sessions/", headers=victim).json()["results"] if s["is_current"]
    ]

    manager_browser.post("/manager/api/session/", {"action": "end", "_selected_action": session["id"]})

    assert server.request("GET", "/api/auth/me/", headers=victim).status_code == 200


# --- Forged by another site


@pytest.mark.parametrize(
    "path",
    ["/manager/login/", "/accounts/password-reset/", "/manager/api/user/{staff}/password-reset/", "/manager/logout/"],
)
def test_a_form_without_the_token_is_refused(server, manager_browser, ids, path):
    answer = manager_browser.post(path.format(**ids), {"csrfmiddlewaretoken": "", "email": "a@example.com"})

    assert answer.status_code == 403


def test_a_form_from_another_origin_is_refused(manager_browser, ids):
    path = f"/manager/api/user/{ids['staff']}/password-reset/"

    assert manager_browser.post(path, headers={"Origin": "https://evil.example"}).status_code == 403
    assert manager_browser.post(path, headers={"Origin": "null"}).status_code == 403


@pytest.mark.parametrize("path", ["/manager/logout/", "/manager/api/user/{staff}/password-reset/", "/admin/logout/"])
def test_a_look_has_no_effect(manager_browser, ids, path):
    assert manager_browser.get(path.format(**ids)).status_code in {403, 405}
    assert manager_browser.get("/manager/").status_code == 200


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"]
)
def test_signing_in_leads_to_no_other_site(server, target):
    browser = Browser(server)
    browser.get("/manager/login/")
    body = {"username": "aisha.manager", "password": server.passwords["aisha.manager"]}

    in_the_form = browser.post("/manager/login/", body | {"next": target})
    in_the_address = browser.post("/manager/login/", body | {"next": ""}, params={"next": target})

    for answer in (in_the_form, in_the_address):
        assert answer.status_code == 302
        assert answer.headers["Location"] == "/manager/"


# --- Sessions


def test_a_session_that_was_planted_is_not_the_one_after_signing_in(server):
    browser = Browser(server)
    browser.session.cookies.set("sessionid", "a" * 32, domain="127.0.0.1")

    browser.sign_in("/manager", "aisha.manager")

    assert "a" * 32 not in browser.session.cookies.values()
    stranger = Browser(server)
    stranger.session.cookies.set("sessionid", "a" * 32)
    assert stranger.get("/manager/").status_code == 302


@pytest.mark.parametrize(
    "cookie", [r'"\000aaaaaaaaaaaaaaa"', "x" * 3000, r'"\342\200\256aaaaaaaaaa"', "../../etc/passwd"]
)
@pytest.mark.parametrize("path", ["/manager/", "/manager/login/", "/api/auth/me/"])
def test_a_cookie_that_we_never_set_is_nobody(server, cookie, path):
    answer = server.request("GET", path, headers={"Cookie": f"sessionid={cookie}"})

    assert answer.status_code == {"/manager/": 302, "/manager/login/": 200, "/api/auth/me/": 401}[path]


def test_a_copied_cookie_dies_with_signing_out(server):
    browser = Browser(server)
    browser.sign_in("/manager", "aisha.manager")
    copy = Browser(server)
    copy.session.cookies.set("sessionid", browser.session.cookies["sessionid"])
    assert copy.get("/manager/").status_code == 200
    browser.get("/manager/")

    assert browser.post("/manager/logout/").status_code == 200

    assert copy.get("/manager/").status_code == 302


def test_the_cookies_are_for_the_server_alone(server):
    browser = Browser(server)

    answer = browser.sign_in("/manager", "aisha.manager")

    cookie = next(line for line in answer.raw.headers.getlist("Set-Cookie") if line.startswith("sessionid"))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_the_victims_of_all_this_sign_in_as_before(server):
    for name in ("root.admin", "maria.manager", "daniel.manager", "tom.manager"):
        server.sign_in(name, server.passwords[name])
