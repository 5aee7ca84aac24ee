"""`manage.py seed_demo`: the demo portfolio."""

import re
from io import StringIO

import pytest
from django.core.management import call_command

from api.models import Property, Task, User


@pytest.fixture
def seeded(db, tmp_path):
    """Run the command; return its output and the path of the accounts file."""
    accounts = tmp_path / "accounts"
    output = StringIO()
    call_command("seed_demo", accounts=accounts, stdout=output)
    return output.getvalue(), accounts


def test_seed_creates_realistic_portfolio(client, seeded):
    assert Property.objects.count() == 12
    assert Task.objects.count() >= 300
    for role in ("superuser", "manager", "staff", "viewer"):
        assert User.objects.filter(role=role).count() == 4
    printed, accounts = seeded
    username, password = re.search(r"manager +(\S+) +(\S+)\n", printed).groups()
    assert accounts.stat().st_mode & 0o777 == 0o600
    response = client.post("/api/auth/login/", {"username": username, "password": password})
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")
    summary = client.get("/api/tasks/summary/").json()
    assert all(summary["by_status"].values())
    assert all(summary["by_task_type"].values())
    assert summary["overdue"] > 5


def test_seed_only_prints_accounts_when_repeated(seeded):
    printed, accounts = seeded
    output = StringIO()

    call_command("seed_demo", accounts=accounts, stdout=output)

    assert printed.endswith(output.getvalue().lstrip("\n"))
    assert User.objects.count() == 16
    assert "/api/docs/" in output.getvalue()


def test_seed_changes_nothing_if_users_exist(db, tmp_path):
    User.objects.create(username="me", email="me@example.com")
    output = StringIO()

    call_command("seed_demo", accounts=tmp_path / "accounts", stdout=output)

    assert User.objects.count() == 1
    assert ".manager" not in output.getvalue()  # no account
