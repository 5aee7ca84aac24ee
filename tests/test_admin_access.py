"""Access to /admin/ and /manager/ per role."""

import re

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework.test import APIClient

from api.common.choices import Role
from api.models import AuditEntry, Session, User
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, act, browser_of, fields_of, sign_in

SITES = [ADMIN, MANAGER]
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("path", ["/", "/api/task/", "/api/user/1/change/", "/api/user/1/password/", "/nowhere/"])
def test_anonymous_request_is_redirected_to_the_login_page(client, db, site, path):
    response = client.get(site + path)

    assert response.status_code == 302
    assert response.headers["Location"].startswith(f"{site}/login/?next=")
    assert client.get(response.headers["Location"]).status_code == 200


@pytest.mark.parametrize(
    ("site", "role", "expected"),
    [
        (ADMIN, Role.SUPERUSER, 302),
        (ADMIN, Role.MANAGER, 200),
        (ADMIN, Role.STAFF, 200),
        (ADMIN, Role.VIEWER, 200),
        (MANAGER, Role.SUPERUSER, 302),
        (MANAGER, Role.MANAGER, 302),
        (MANAGER, Role.STAFF, 200),
        (MANAGER, Role.VIEWER, 200),
    ],
)
def test_site_login_requires_the_permission_of_the_site(db, site, role, expected):
    browser = Client()

    response = sign_in(browser, site, factories.user(role=role))

    assert response.status_code == expected
    assert ("_auth_user_id" in browser.session) is (expected == 302)


@pytest.mark.parametrize("site", SITES)
def test_login_page_responds_equally_to_all_rejected_logins(db, site):
    rejected = {
        "wrong password": (factories.user(role="superuser"), "wrong"),
        "nobody": (User(username="nobody"), "wrong"),
        "no right": (factories.user(role="staff"), factories.PASSWORD),
        "inactive": (factories.user(role="superuser", is_active=False), factories.PASSWORD),
    }

    def error_page(user, password):
        page = sign_in(Client(), site, user, password)
        text = page.content.decode().replace(user.username, "NAME")
        return page.status_code, [line for line in text.splitlines() if "csrfmiddlewaretoken" not in line]

    pages = [error_page(*attempt) for attempt in rejected.values()]

    assert pages == [pages[0]] * len(pages)
    assert "is wrong, or your account uses another site" in "".join(pages[0][1])


def test_login_pages_link_to_each_other_and_to_the_password_reset(db, client):
    for site, other in ((ADMIN, MANAGER), (MANAGER, ADMIN)):
        page = client.get(f"{site}/login/").content.decode()
        assert f'href="{other}/"' in page
        assert 'href="/accounts/password-reset/"' in page


@pytest.mark.parametrize(("site", "role"), [(ADMIN, "manager"), (ADMIN, "staff"), (MANAGER, "viewer")])
def test_site_responds_403_and_audits_when_the_user_lacks_permission(db, site, role):
    user = factories.user(role=role)

    page = browser_of(user).get(f"{site}/api/task/")

    assert page.status_code == 403
    entry = AuditEntry.objects.get(event="permission_denied")
    assert (entry.actor_id, entry.detail) == (user.pk, "task_changelist")
    text = page.content.decode()
    assert ("Cosmo Manager</a>" in text.partition("Your site is")[2]) is (role == "manager")
    assert ("Please use the Cosmo app" in text) is (role != "manager")


@pytest.mark.parametrize("login_path", ["/admin/login/", "/manager/login/"])
def test_login_paths_share_the_same_counters(client, db, login_path):
    user = factories.user(role="superuser")
    for other in ("/admin/login/", "/manager/login/", login_path):
        Client().post(other, {"username": user.username, "password": "wrong"})
    for _ in range(2):
        client.post("/api/auth/login/", {"username": user.username, "password": "wrong"})

    response = Client().post(login_path, {"username": user.username, "password": factories.PASSWORD})

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "Too many failed attempts" in response.content.decode()


def test_browser_login_renews_the_session_key_and_can_be_ended(db):
    browser, user = Client(), factories.user(role="superuser")
    browser.get("/admin/login/")
    before = browser.session.session_key
    sign_in(browser, ADMIN, user)
    assert browser.session.session_key != before
    (session,) = Session.objects.filter(user=user, ended_at=None)
    assert browser.get("/admin/").status_code == 200

    act(browser, ADMIN, "session", "end", session)

    assert browser.get("/admin/").status_code == 302
    session.refresh_from_db()
    assert session.ended_at is not None


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "javascript:alert(1)", "", None])
@pytest.mark.parametrize("site", SITES)
def test_login_redirects_only_to_pages_of_the_site(db, site, target):
    user, query = factories.user(role="superuser"), "" if target is None else f"?next={target}"
    body = {"username": user.username, "password": factories.PASSWORD}

    as_a_form_is_sent = Client().post(f"{site}/login/{query}", body | {"next": ""})

    assert as_a_form_is_sent.headers["Location"] == f"{site}/"
    assert Client().post(f"{site}/login/{query}", body).headers["Location"] == f"{site}/"
    kept = Client().post(f"{site}/login/?next={site}/api/task/", body | {"next": ""})
    assert kept.headers["Location"] == f"{site}/api/task/"


@pytest.mark.parametrize("path", ["/admin/", "/manager/login/", "/api/auth/me/"])
def test_forged_session_cookie_is_anonymous(client, db, path):
    client.cookies["sessionid"] = "\x00" * 32  # sent in quotes, as \000

    assert client.get(path).status_code == {"/admin/": 302, "/manager/login/": 200, "/api/auth/me/": 401}[path]


def test_forms_contain_neither_groups_nor_permissions(browsers, one_of_each):
    for site, browser in browsers.items():
        for path in ("/auth/", "/auth/group/", "/auth/group/add/", "/auth/permission/", "/auth/user/"):
            assert browser.get(site + path).status_code == 404
        page = browser.get(f"{site}/api/user/{one_of_each['user'].pk}/change/").content.decode()
        assert "groups" not in page
        assert "permissions" not in page


def test_logout_ends_the_browser_session(root):
    assert root.get("/admin/logout/").status_code == 405
    assert Session.objects.filter(ended_at=None).count() == 1

    root.post("/admin/logout/")

    assert Session.objects.filter(ended_at=None).count() == 0
    assert AuditEntry.objects.filter(event="logout", actor_id=root.user.pk).exists()


@pytest.mark.parametrize("change", [{"role": "staff"}, {"is_active": False}, {"email": "new@example.com"}])
def test_browser_session_ends_when_the_account_changes(root, boss, change):
    boss.get("/manager/")
    values = fields_of(root.get(f"/admin/api/user/{boss.user.pk}/change/")) | change
    if change == {"is_active": False}:
        del values["is_active"]
    assert root.post(f"/admin/api/user/{boss.user.pk}/change/", values).status_code == 302

    assert boss.get("/manager/").status_code == 302


def site_urls(site: str) -> list[str]:
    """Return all URLs of a site, with plausible parameters."""
    (resolver,) = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == f"{site.strip('/')}/"]

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            else:
                yield path

    paths = (re.sub(r"<[^>]*>", "1", path) for path in walk(resolver.url_patterns, f"{site}/"))
    return sorted({re.sub(r"\^\(\?P1\(?api\)?/\$|\(\?P1\.\*\)\$", "api/", path) for path in paths})


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("role", ["anonymous", *Role])
def test_site_urls_respond_to_each_role_as_the_contract_says(db, site, role):
    browser = Client() if role == "anonymous" else browser_of(factories.user(role=role))
    may = (role == Role.SUPERUSER) or (role == Role.MANAGER and site == MANAGER)
    statuses = {path: browser.get(path).status_code for path in site_urls(site)}
    del statuses[f"{site}/login/"]

    assert len(statuses) > 40
    if role == "anonymous":
        assert set(statuses.values()) == {302}
    elif may:
        assert set(statuses.values()) <= {200, 301, 302, 400, 403, 404, 405}
        assert statuses[f"{site}/"] == 200
    else:
        assert set(statuses.values()) == {403}


def test_superuser_acts_as_manager_in_the_manager_site(root, boss):
    other_root, peer = factories.user(username="second.root", role="superuser"), boss.user

    assert "second.root" not in root.get("/manager/api/user/").content.decode()
    assert root.get(f"/manager/api/user/{other_root.pk}/change/").status_code == 404
    page = f"/manager/api/user/{peer.pk}/change/"
    assert root.post(page, {"username": "x", "role": "staff"}).status_code == 403
    assert root.post(f"/manager/api/user/{peer.pk}/delete/", {"post": "yes"}).status_code == 403
    assert act(root, MANAGER, "user", "deactivate", peer) == ["Boss: not done. Your role does not allow this."]
    page = "/manager/api/user/add/"
    forged = {"username": "ada", "email": "ada@example.com", "role": "superuser", "password": factories.PASSWORD}
    assert "Select a valid choice" in root.post(page, fields_of(root.get(page)) | forged).content.decode()
    act(root, ADMIN, "user", "deactivate", other_root)
    assert "second.root" in root.get("/admin/api/auditentry/").content.decode()
    assert "second.root" not in root.get("/manager/api/auditentry/").content.decode()


@pytest.fixture
def former_superuser(superuser) -> tuple[User, list[int]]:
    """A manager who was a superuser, and the ids of the audit entries about that time."""
    user = factories.user(username="chief", role="manager")
    path = f"/api/users/{user.pk}/"
    superuser.patch(path, {"first_name": "Early"})
    first = AuditEntry.objects.latest("pk").pk
    superuser.patch(path, {"role": "superuser"})
    superuser.patch(path, {"phone_number": "+1 212 555 0100"})
    APIClient().post("/api/auth/login/", {"username": "chief", "password": factories.PASSWORD})
    superuser.post(f"{path}password-reset/")
    factories.notification(factories.task(title="Secret"), user)
    superuser.patch(path, {"role": "manager"})
    last = AuditEntry.objects.latest("pk").pk
    superuser.patch(path, {"first_name": "Late"})
    return user, [*range(first + 1, last + 1)]


def test_managers_do_not_see_events_of_a_former_superuser(root, boss, former_superuser):
    user, hidden = former_superuser
    assert len(hidden) >= 4
    everything = {*hidden, *AuditEntry.objects.filter(object_id=user.pk).values_list("pk", flat=True)}

    def visible_ids(browser, site: str, model: str) -> set[int]:
        return {row.pk for row in browser.get(f"{site}/api/{model}/").context["cl"].result_list}

    assert everything <= visible_ids(root, ADMIN, "auditentry")
    assert visible_ids(boss, MANAGER, "auditentry") & everything == everything - set(hidden)
    assert boss.get(f"/manager/api/auditentry/{hidden[0]}/change/").status_code == 404
    for model in ("outgoingmail", "notification"):
        assert (len(visible_ids(root, ADMIN, model)), len(visible_ids(boss, MANAGER, model))) == (1, 0)
    pages = [
        browser.get(f"{site}/api/user/{user.pk}/change/").content.decode()
        for browser, site in ((root, ADMIN), (boss, MANAGER))
    ]
    for text in ("→ Early", "Early → Late"):
        assert [text in page for page in pages] == [True, True], text
    for text in ("superuser → manager", "→ +1 212 555 0100", "Last password reset email"):
        assert [text in page for page in pages] == [True, False], text


@pytest.mark.parametrize(
    ("path", "field"), [("/manager/api/task/add/", "assigned_to"), ("/manager/api/property/add/", "owners")]
)
def test_manager_forms_respond_equally_to_hidden_and_unknown_users(root, boss, path, field):
    task = factories.task()
    values = {**fields_of(boss.get(path)), "title": "Clean", "name": "New", "property": task.property_id}

    errors = [
        str(boss.post(path, {**values, field: pk}).context["adminform"].form.errors[field]).replace(str(pk), "ID")
        for pk in (root.user.pk, 999_999)
    ]

    assert errors[0] == errors[1] != ""


def test_manager_choices_contain_no_superuser(root, boss):
    query = "app_label=api&model_name=task&field_name=assigned_to&term="

    rows = boss.get(f"/manager/autocomplete/?{query}").json()["results"]

    assert {row["id"] for row in rows} == {
        str(pk) for pk in User.objects.filter(role__in=["staff", "manager"]).values_list("pk", flat=True)
    }
