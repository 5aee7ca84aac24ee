"""ETag and If-Match prevent lost updates."""

import pytest

from tests import factories


@pytest.fixture
def objects(superuser):
    return {
        "/api/tasks/{}/": (factories.task().pk, {"title": "New"}),
        "/api/properties/{}/": (factories.property_().pk, {"name": "New"}),
        "/api/users/{}/": (factories.user(role="staff").pk, {"first_name": "New"}),
        "/api/auth/me/": (0, {"first_name": "New"}),
    }


KINDS = ["/api/tasks/{}/", "/api/properties/{}/", "/api/users/{}/", "/api/auth/me/"]


@pytest.mark.parametrize("kind", KINDS)
def test_stale_version_is_rejected_without_changes(superuser, objects, kind):
    pk, body = objects[kind]
    path = kind.format(pk)
    etag = superuser.get(path).headers["ETag"]

    changed = superuser.patch(path, body, headers={"If-Match": etag})
    again = superuser.patch(path, dict.fromkeys(body, "Newer"), headers={"If-Match": etag})

    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag
    assert (again.status_code, again.json()["code"]) == (412, "stale_version")
    assert superuser.get(path).json() == changed.json()
    assert superuser.get(path).headers["ETag"] == changed.headers["ETag"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("{etag}", 200),
        ("*", 200),
        (None, 200),
        ("W/{etag}", 200),
        ('"77", {etag}', 200),
        ('"77"', 412),
        ("77", 412),
        ("", 412),
        ("nonsense", 412),
    ],
)
def test_if_match_follows_rfc_9110(manager, given, status):
    path = f"/api/tasks/{factories.task().pk}/"
    etag = manager.get(path).headers["ETag"]
    headers = {} if given is None else {"If-Match": given.format(etag=etag)}

    assert manager.patch(path, {"title": "New"}, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        ("delete", "", None),
        ("post", "status/", {"status": "in_progress"}),
        ("post", "assign/", {"assigned_to": None}),
        ("post", "claim/", {}),
    ],
)
def test_every_task_change_checks_version(manager, method, action, body):
    path = f"/api/tasks/{factories.task().pk}/"
    etag = manager.get(path).headers["ETag"]
    manager.patch(path, {"title": "Changed"})

    def call(**headers):
        return getattr(manager, method)(path + action, body, headers=headers)

    assert call(**{"If-Match": etag}).status_code == 412
    assert call(**{"If-Match": manager.get(path).headers["ETag"]}).status_code in {200, 204}


@pytest.mark.parametrize("kind", ["tasks", "properties"])
def test_restore_checks_version(manager, kind):
    row = {"tasks": factories.task, "properties": factories.property_}[kind]()
    path = f"/api/{kind}/{row.pk}/"
    etag = manager.get(path).headers["ETag"]
    manager.delete(path)

    assert manager.post(f"{path}restore/", headers={"If-Match": etag}).status_code == 412
    assert manager.post(f"{path}restore/").status_code == 200


def test_version_is_kept_when_nothing_changes(manager):
    path = f"/api/tasks/{factories.task(title='Same').pk}/"
    etag = manager.get(path).headers["ETag"]

    assert manager.patch(path, {"title": "Same"}).headers["ETag"] == etag


def test_created_object_has_etag(manager):
    response = manager.post("/api/properties/", {"name": "A", "address": "B"})

    assert response.headers["ETag"] == manager.get(response.headers["Location"]).headers["ETag"]
