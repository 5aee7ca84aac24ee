"""A task, two properties and a reader, for tests of who reads what of a history."""

from typing import Any

from rest_framework.test import APIClient

from api.audit.models import AuditEntry
from api.models import User
from tests import factories
from tests.conftest import client_of, sign_in_again


class World:
    """The reader cleans and owns the Villa; the task is at the Loft and is Otto's. Every step is a request."""

    def __init__(self, role: str) -> None:
        self.manager = client_of(factories.user(role="manager", first_name="Max", last_name="Manager"))
        self.reader = client_of(self._user(role=role, first_name="Rita"))
        self.other = self._user(role="staff", first_name="Otto")
        self.houses = {
            "Loft": factories.property_(name=f"Loft {self.other.pk}"),
            "Villa": factories.property_(name=f"Villa {self.other.pk}", owners=(self.reader.user,)),
        }
        body = factories.task_body(
            title="Linen",
            description="Door code 1234",
            property=self.houses["Loft"].pk,
            assigned_to=self.other.pk,
        )
        self.task: int = self.manager.post("/api/tasks/", body).json()["id"]
        self._path = f"/api/tasks/{self.task}/"
        self._reader_path = f"/api/users/{self.reader.user.pk}/"

    def _user(self, **values: Any) -> User:
        return factories.user(last_name="Reader", department="cleaning", **values)

    def do(self, action: str, value: Any = None) -> int:
        """Make a change; the status of the response, for some are not possible in every state."""
        people = {"reader": self.reader.user.pk, "other": self.other.pk, None: None}
        house = f"/api/properties/{self.houses[value].pk}/" if value in self.houses else ""
        patch, post, delete = self.manager.patch, self.manager.post, self.manager.delete
        requests = {
            "title": lambda: patch(self._path, {"title": value}),
            "move": lambda: patch(self._path, {"property": self.houses[value].pk}),
            "move_and_describe": lambda: patch(
                self._path, {"property": self.houses[value].pk, "description": "Nothing secret"}
            ),
            "assign": lambda: patch(self._path, {"assigned_to": people[value]}),
            "type": lambda: patch(self._path, {"task_type": value}),
            "delete": lambda: delete(self._path),
            "restore": lambda: post(f"{self._path}restore/"),
            "own": lambda: patch(house, {"owners": [self.reader.user.pk, self.other.pk]}),
            "disown": lambda: patch(house, {"owners": [self.other.pk]}),
            "delete_house": lambda: delete(house),
            "restore_house": lambda: post(f"{house}restore/"),
            "department": lambda: patch(self._reader_path, {"department": value}),
            "role": lambda: patch(self._reader_path, {"role": value}),
            "disable": lambda: delete(self._reader_path),
            "enable": lambda: patch(self._reader_path, {"is_active": True}),
        }
        return int(requests[action]().status_code)

    def client(self) -> APIClient:
        """The reader, signed in as they are now."""
        self.reader.user.refresh_from_db()
        sign_in_again(self.reader)
        return self.reader

    def sees_task(self) -> bool:
        return bool(self.client().get(self._path).status_code == 200)

    def history(self) -> list[dict[str, Any]]:
        """What the reader reads, the oldest first, page by page."""
        client, url, entries = self.client(), f"{self._path}history/?page_size=2", []
        while url:
            page = client.get(url).json()
            entries += page["results"]
            url = page["next"]
        assert page["count"] == len(entries)
        return entries[::-1]

    def entries(self, *, after: int = 0) -> list[AuditEntry]:
        found = AuditEntry.objects.filter(object_type="task", object_id=self.task, pk__gt=after)
        return list(found.order_by("pk"))
