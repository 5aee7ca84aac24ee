"""The property endpoints."""

from datetime import UTC, datetime

import pytest

from api.audit.models import AuditEntry
from api.models import Property
from tests import factories

BODY = {"name": "Harbour Loft", "address": "12 Commercial Street"}


def fields_of(response) -> list[str]:
    return [error["field"] for error in response.json()["errors"]]


def test_manager_creates_property(manager):
    owners = [factories.user(first_name="Olga"), factories.user(first_name="Henry")]
    body = BODY | {"owners": [owner.pk for owner in owners], "timezone": "Europe/Berlin", "property_type": "villa"}

    response = manager.post("/api/properties/", body)

    assert response.status_code == 201
    row = response.json()
    assert body.items() <= row.items()
    assert row["owners_name"] == ["Olga", "Henry"]
    assert (row["is_active"], row["open_task_count"], row["access_notes"]) == (True, 0, "")
    assert row["created_by"] == manager.user.pk
    assert manager.get(response.headers["Location"]).json() == row
    assert manager.get("/api/properties/").json()["results"] == [row]


@pytest.mark.parametrize("field", ["name", "address"])
def test_name_and_address_are_required(manager, field):
    for body in ({key: value for key, value in BODY.items() if key != field}, BODY | {field: ""}):
        response = manager.post("/api/properties/", body)
        assert (response.status_code, fields_of(response)) == (400, [field])
    assert not Property.objects.exists()


def test_duplicate_name_is_rejected(manager):
    first = manager.post("/api/properties/", BODY).json()["id"]
    other = factories.property_()

    for response in (
        manager.post("/api/properties/", BODY),
        manager.patch(f"/api/properties/{other.pk}/", {"name": BODY["name"]}),
    ):
        assert response.status_code == 400
        assert response.json()["errors"][0] == {"field": "name", "code": "unique", "detail": "This is already taken."}

    manager.delete(f"/api/properties/{first}/")
    assert manager.post("/api/properties/", BODY).status_code == 201
    restored = manager.post(f"/api/properties/{first}/restore/")
    assert (restored.status_code, restored.json()["code"]) == (409, "name_taken")


def test_missing_or_disabled_owner_is_rejected(manager):
    property_ = factories.property_(owners=(factories.user(),))
    disabled = factories.user(is_active=False)

    for owner in (disabled.pk, 10**9):
        for response in (
            manager.patch(f"/api/properties/{property_.pk}/", {"owners": [owner]}),
            manager.post("/api/properties/", BODY | {"owners": [owner]}),
        ):
            assert (response.status_code, fields_of(response)) == (400, ["owners"])
    assert Property.objects.count() == 1
    assert property_.owners.count() == 1


def test_disabled_owner_stays_until_removed(manager):
    disabled = factories.user(is_active=False)
    property_ = factories.property_(owners=(disabled,))

    response = manager.patch(f"/api/properties/{property_.pk}/", {"owners": [disabled.pk], "name": "New"})

    assert response.status_code == 200
    assert manager.patch(f"/api/properties/{property_.pk}/", {"owners": []}).json()["owners"] == []


def test_open_task_count_excludes_closed_and_deleted_tasks(manager):
    property_ = factories.property_()
    for status in ("pending", "in_progress", "completed", "canceled"):
        factories.task(property=property_, status=status)
    factories.task(property=property_, deleted_at=datetime.now(UTC))
    empty = factories.property_()

    counts = {row["id"]: row["open_task_count"] for row in manager.get("/api/properties/").json()["results"]}

    assert counts == {property_.pk: 2, empty.pk: 0}
    assert manager.get(f"/api/properties/{property_.pk}/").json()["open_task_count"] == 2


def test_property_list_depends_on_role(manager, staff, viewer):
    owned = factories.property_(owners=(viewer.user,), is_active=False)
    active = factories.property_()

    def visible_ids(client):
        return {row["id"] for row in client.get("/api/properties/").json()["results"]}

    assert visible_ids(manager) == {owned.pk, active.pk}
    assert visible_ids(staff) == {active.pk}
    assert visible_ids(viewer) == {owned.pk}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("search=harbour", {"loft"}),
        ("search=MAIN", {"cabin", "villa"}),
        ("property_type=cabin", {"cabin"}),
        ("is_active=false", {"villa"}),
        ("owner={owner}", {"loft"}),
        ("deleted=true", {"gone"}),
        ("search=%25", set()),
    ],
)
def test_filter_returns_matching_properties(manager, query, expected):
    owner = factories.user()
    rows = {
        "loft": factories.property_(name="Harbour Loft", address="Quay", owners=(owner,)),
        "cabin": factories.property_(property_type="cabin"),
        "villa": factories.property_(is_active=False),
        "gone": factories.property_(deleted_at=datetime.now(UTC)),
    }

    response = manager.get(f"/api/properties/?{query.format(owner=owner.pk)}")

    assert {row["id"] for row in response.json()["results"]} == {rows[name].pk for name in expected}


def test_audit_trail_never_contains_access_notes(manager):
    property_ = manager.post("/api/properties/", BODY | {"access_notes": "Key box four-seven-one"}).json()["id"]
    manager.patch(f"/api/properties/{property_}/", {"access_notes": "Key box 0815"})

    changes = [entry.changes["access_notes"] for entry in AuditEntry.objects.filter(object_type="property")]

    assert changes == [["(not kept)", "(not kept)"]] * 2
    assert "four-seven-one" not in str(list(AuditEntry.objects.values()))
