"""The backup and restore commands of docs/operations.md, unchanged, on both databases."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.server import PROJECT, environment, fill_with_demo, manage

pytestmark = pytest.mark.fault

COUNT = """
from api.models import AuditEntry, OutgoingMail, Task, User
counts = [model.objects.count() for model in (Task, User, AuditEntry)]
waiting = OutgoingMail.objects.filter(state__in=["queued", "sending"]).count()
print(counts, waiting, sorted(Task.objects.values_list("title", flat=True))[:1])
"""
LOSE = """
from api.models import Notification, OutgoingMail, Task
from django.utils import timezone
Notification.objects.all().delete()
Task.objects.filter(dependent_rows=None).delete()
OutgoingMail.objects.all().delete()
"""
WAIT = """
from django.utils import timezone
from api.models import OutgoingMail
now = timezone.now()
OutgoingMail.objects.create(kind="test", recipient="a@example.com", subject="a", text_body="a", message_id="<a@b>",
    next_try_at=now, created_at=now)
"""


def commands(title: str) -> list[str]:
    """Return the code blocks of the section in order."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", (PROJECT / "docs/operations.md").read_text(), re.S | re.M)[1]
    return re.findall(r"```sh\n(.*?)```", section, re.S)


def shell(variables: dict[str, str], code: str) -> str:
    return manage(variables, "shell", "--verbosity", "0", "-c", code).splitlines()[-1:]


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_documented_commands_restore_lost_data(kind, tmp_path, request):
    dump, load, copy, put_back, afterwards = commands("Backup and restore")
    variables = environment(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}")
    if kind == "postgresql":
        variables["DATABASE_URL"] = request.getfixturevalue("portfolio").url
    else:
        dump, load = copy, put_back
        fill_with_demo(tmp_path, variables["DATABASE_URL"])
    tools = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"

    def run(command: str) -> None:
        command = command.replace("manage.py", str(PROJECT / "manage.py"))
        subprocess.run(["bash", "-euc", command], cwd=tmp_path, env=variables | {"PATH": tools}, check=True)

    shell(variables, WAIT)
    before = shell(variables, COUNT)
    run(dump)
    shell(variables, LOSE)
    assert shell(variables, COUNT) != before
    run(load)
    assert shell(variables, COUNT) == before
    run(afterwards)
    assert shell(variables, COUNT) == [before[0].replace("] 1 [", "] 0 [")]
