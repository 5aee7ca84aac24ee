"""Migrations under load: an additive one delays no request; one that has to wait gives up in time."""

import subprocess
import sys
import time

import pytest

from tests.faults.clients import Clients, assert_kept, create_task, probe, read_tasks
from tests.live.server import PROJECT, serving

pytestmark = pytest.mark.fault


def migrate(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments]
    variables = variables | {"DJANGO_SETTINGS_MODULE": "tests.faults.growing.settings"}
    return subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def clients(tmp_path, variables, portfolio):
    with serving(variables, tmp_path / "console") as server:
        headers = server.sign_in("maria.manager", portfolio.passwords["maria.manager"])
        asks = [read_tasks, read_tasks, create_task, create_task, probe("live/"), probe("ready/")]
        yield Clients(server.url, headers).asking(*asks)


def columns(portfolio) -> set[str]:
    rows = portfolio.cluster.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'api_task'", portfolio.name
    )
    return {name for (name,) in rows}


def test_column_and_index_are_added_under_load(clients, variables, portfolio):
    with clients:
        time.sleep(1)
        began = time.monotonic()
        done = migrate(variables)
        seconds = time.monotonic() - began
        time.sleep(1)

    assert done.returncode == 0, done.stderr
    assert seconds > 10  # longer than the statement timeout of requests
    assert "colour" in columns(portfolio)
    assert set(clients.statuses()) == {200, 201}
    assert clients.longest() < 2
    assert_kept(clients, portfolio.tasks())


def test_migration_fails_in_time_when_the_table_is_locked_and_can_be_retried(clients, variables, portfolio):
    with clients, portfolio.cluster.session(portfolio.name) as reader:
        with reader.transaction():
            reader.execute("SELECT count(*) FROM api_task")  # a long report
            refused = migrate(variables, "growing", "0001")
        before = columns(portfolio)
        done = migrate(variables, "growing", "0001")

    assert refused.returncode == 1
    assert "lock timeout" in refused.stderr
    assert "colour" not in before
    assert done.returncode == 0, done.stderr
    assert "colour" in columns(portfolio)
    assert set(clients.statuses()) <= {200, 201, 503}
    assert clients.longest() < 4
    assert_kept(clients, portfolio.tasks())
