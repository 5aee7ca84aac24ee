"""A task, two properties and a reader, for tests of history visibility."""

from typing import Any

from rest_framework.test import APIClient

from api.audit.models import AuditEntry
from api.models import User
from tests import factories
from tests.conftest import client_of, sign_in_again


class World:
    """The reader owns the Villa and is in the cleaning department. The task is at the Loft, assigned to Otto.

    Every step is a request.
    """

    def __init__(self, role: str) -> None:
        self.manager = client_of(factories.user(role="manager", first_name="Max", last_name="Manager"))
        self.reader = client_of(self._user(role=role, first_name="Rita"))
        self.other = self._user(role="staff", first_name="Otto")
        self.properties = {
            "Loft": factories.property_(name=f"Loft {self.other.pk}"),
            "Villa": factories.property_(name=f"Villa {self.other.pk}", owners=(self.reader.user,)),
        }
        body = factories.task_body(
            title="Linen",
            description="Door code 1234",
            property=self.properties["Loft"].pk,
            assigned_to=self.other.pk,
        )
        self.task: int = self.manager.post("/api/tasks/", body).json()["id"]
        self._path = f"/api/tasks/{self.task}/"
        self._reader_path = f"/api/users/{self.reader.user.pk}/"

    def _user(self, **values: Any) -> User:
        return factories.user(last_name="Reader", department="cleaning", **values)

    def do(self, action: str, value: Any = None) -> int:
        """Make a change and return the response status. Some changes are not possible in every state."""
        user_ids = {"reader": self.reader.user.pk, "other": self.other.pk, None: None}
        property_path = f"/api/properties/{self.properties[value].pk}/" if value in self.properties else ""
        patch, post, delete = self.manager.patch, self.manager.post, self.manager.delete
        requests = {
            "title": lambda: patch(self._path, {"title": value}),
            "move": lambda: patch(self._path, {"property": self.properties[value].pk}),
            "move_and_describe": lambda: patch(
                self._path, {"property": self.properties[value].pk, "description": "Nothing secret"}
            ),
            "assign": lambda: patch(self._path, {"assigned_to": user_ids[value]}),
            "type": lambda: patch(self._path, {"task_type": value}),
            "delete": lambda: delete(self._path),
            "restore": lambda: post(f"{self._path}restore/"),
            "own": lambda: patch(property_path, {"owners": [self.reader.user.pk, self.other.pk]}),
            "disown": lambda: patch(property_path, {"owners": [self.other.pk]}),
            "delete_property": lambda: delete(property_path),
            "restore_property": lambda: post(f"{property_path}restore/"),
            "department": lambda: patch(self._reader_path, {"department": value}),
            "role": lambda: patch(self._reader_path, {"role": value}),
            "disable": lambda: delete(self._reader_path),
            "enable": lambda: patch(self._reader_path, {"is_active": True}),
        }
        return int(requests[action]().status_code)

    def client(self) -> APIClient:
        """Return the reader's client, signed in with the current role."""
        self.reader.user.refresh_from_db()
        sign_in_again(self.reader)
        return self.reader

    def sees_task(self) -> bool:
        return bool(self.client().get(self._path).status_code == 200)

    def history(self) -> list[dict[str, Any]]:
        """Return the history that the reader sees, oldest first."""
        client, url, entries = self.client(), f"{self._path}history/?page_size=2", []
        while url:
            page = client.get(url).json()
            entries += page["results"]
            url = page["next"]
        assert page["count"] == len(entries)
        return entries[::-1]

    def entries(self, *, after: int = 0) -> list[AuditEntry]:
        entries_of_task = AuditEntry.objects.filter(object_type="task", object_id=self.task, pk__gt=after)
        return list(entries_of_task.order_by("pk"))
