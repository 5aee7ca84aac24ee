import pytest


@pytest.fixture
def manager_headers(server) -> dict[str, str]:
    return server.sign_in("maria.manager", server.passwords["maria.manager"])


@pytest.fixture
def task(server, manager_headers) -> dict:
    """A fresh pending cleaning task that nobody has."""
    body = {"title": "Clean", "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    answer = server.request("POST", "/api/tasks/", json=body, headers=manager_headers)
    assert answer.status_code == 201, answer.text
    return answer.json()
