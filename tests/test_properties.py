"""/api/properties/."""

from datetime import UTC, datetime

import pytest

from api.audit.models import AuditEntry
from api.models import Property
from tests import factories

BODY = {"name": "Harbour Loft", "address": "12 Commercial Street"}


def fields_of(answer) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


def test_a_manager_creates_a_property(manager):
    owners = [factories.user(first_name="Olga"), factories.user(first_name="Henry")]
    body = BODY | {"owners": [owner.pk for owner in owners], "timezone": "Europe/Berlin", "property_type": "villa"}

    answer = manager.post("/api/properties/", body)

    assert answer.status_code == 201
    row = answer.json()
    assert body.items() <= row.items()
    assert row["owners_name"] == ["Olga", "Henry"]
    assert (row["is_active"], row["open_task_count"], row["access_notes"]) == (True, 0, "")
    assert row["created_by"] == manager.user.pk
    assert manager.get(answer.headers["Location"]).json() == row
    assert manager.get("/api/properties/").json()["results"] == [row]


@pytest.mark.parametrize("field", ["name", "address"])
def test_name_and_address_are_required(manager, field):
    for body in ({key: value for key, value in BODY.items() if key != field}, BODY | {field: ""}):
        answer = manager.post("/api/properties/", body)
        assert (answer.status_code, fields_of(answer)) == (400, [field])
    assert not Property.objects.exists()


def test_two_properties_do_not_share_a_name(manager):
    first = manager.post("/api/properties/", BODY).json()["id"]
    other = factories.property_()

    for answer in (
        manager.post("/api/properties/", BODY),
        manager.patch(f"/api/properties/{other.pk}/", {"name": BODY["name"]}),
    ):
        assert answer.status_code == 400
        assert answer.json()["errors"][0] == {"field": "name", "code": "unique", "detail": "This is already taken."}

    manager.delete(f"/api/properties/{first}/")
    assert manager.post("/api/properties/", BODY).status_code == 201
    restored = manager.post(f"/api/properties/{first}/restore/")
    assert (restored.status_code, restored.json()["code"]) == (409, "name_taken")


def test_owners_are_active_users(manager):
    house = factories.property_(owners=(factories.user(),))
    gone = factories.user(is_active=False)

    for owner in (gone.pk, 10**9):
        for answer in (
            manager.patch(f"/api/properties/{house.pk}/", {"owners": [owner]}),
            manager.post("/api/properties/", BODY | {"owners": [owner]}),
        ):
            assert (answer.status_code, fields_of(answer)) == (400, ["owners"])
    assert Property.objects.count() == 1
    assert house.owners.count() == 1


def test_an_owner_who_was_disabled_later_stays_until_he_is_taken_away(manager):
    gone = factories.user(is_active=False)
    house = factories.property_(owners=(gone,))

    answer = manager.patch(f"/api/properties/{house.pk}/", {"owners": [gone.pk], "name": "New"})

    assert answer.status_code == 200
    assert manager.patch(f"/api/properties/{house.pk}/", {"owners": []}).json()["owners"] == []


def test_the_count_of_open_tasks_leaves_out_closed_and_deleted_ones(manager):
    house = factories.property_()
    for status in ("pending", "in_progress", "completed", "canceled"):
        factories.task(property=house, status=status)
    factories.task(property=house, deleted_at=datetime.now(UTC))
    empty = factories.property_()

    counts = {row["id"]: row["open_task_count"] for row in manager.get("/api/properties/").json()["results"]}

    assert counts == {house.pk: 2, empty.pk: 0}
    assert manager.get(f"/api/properties/{house.pk}/").json()["open_task_count"] == 2


def test_each_role_sees_its_properties(manager, staff, viewer):
    his = factories.property_(owners=(viewer.user,), is_active=False)
    active = factories.property_()

    def seen(client):
        return {row["id"] for row in client.get("/api/properties/").json()["results"]}

    assert seen(manager) == {his.pk, active.pk}
    assert seen(staff) == {active.pk}
    assert seen(viewer) == {his.pk}


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
def test_properties_are_found_by_what_they_are(manager, query, expected):
    owner = factories.user()
    rows = {
        "loft": factories.property_(name="Harbour Loft", address="Quay", owners=(owner,)),
        "cabin": factories.property_(property_type="cabin"),
        "villa": factories.property_(is_active=False),
        "gone": factories.property_(deleted_at=datetime.now(UTC)),
    }

    answer = manager.get(f"/api/properties/?{query.format(owner=owner.pk)}")

    assert {row["id"] for row in answer.json()["results"]} == {rows[name].pk for name in expected}


def test_door_codes_never_reach_the_trail(manager):
    house = manager.post("/api/properties/", BODY | {"access_notes": "Key box four-seven-one"}).json()["id"]
    manager.patch(f"/api/properties/{house}/", {"access_notes": "Key box 0815"})

    changes = [entry.changes["access_notes"] for entry in AuditEntry.objects.filter(object_type="property")]

    assert changes == [["(not kept)", "(not kept)"]] * 2
    assert "four-seven-one" not in str(list(AuditEntry.objects.values()))
