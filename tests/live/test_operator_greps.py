"""Each command of the operator's pages finds its line, with DEBUG on and all that happened before."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.browser import Browser
from tests.live.server import PROJECT, Server, demo_database, environment, serving
from tests.logs import wait_until
from tests.smtp import mail_server

NEW = "a new and longer passphrase"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where logs/ is, after a superuser, a manager and a stranger have done what the commands look for."""
    folder = tmp_path_factory.mktemp("greps")
    with demo_database(folder) as (database, passwords), mail_server() as mails:
        mail = {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "127.0.0.1"}
        variables = environment(folder, DATABASE_URL=database, EMAIL_PORT=str(mails.port), **mail)
        variables |= {
            "DJANGO_ENVIRONMENT": "development",
            "CELERY_BROKER_URL": "",
            "REDIS_URL": "",
            "WEB_CONCURRENCY": "1",
        }
        with serving(variables, folder / "console") as server:
            server.passwords = passwords
            _use(server)
            wait_until(lambda: "password_reset_email_sent" in (folder / "logs" / "info.log").read_text())
        # No address of ours fails so; these do.
        with serving(variables | {"DJANGO_SETTINGS_MODULE": "tests.failing_settings"}, folder / "console") as server:
            for path in ("/odd/fail-reverse/", "/odd/fail-template/"):
                assert server.request("GET", path).status_code == 500
        yield folder


def _use(server: Server) -> None:
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    people = server.request("GET", "/api/users/?role=staff", headers=root).json()["results"]
    staff, other = people[0]["id"], people[1]["id"]
    manager, superuser = Browser(server), Browser(server)
    manager.sign_in("/manager", "maria.manager")
    superuser.sign_in("/admin", "root.admin")
    superuser.get(f"/admin/api/user/{staff}/change/")
    answers = [
        superuser.post(f"/admin/api/user/{staff}/password/", {"new_password1": NEW, "new_password2": NEW}),
        manager.post(f"/manager/api/user/{other}/password-reset/"),
        manager.post(f"/manager/api/user/{staff}/password/", {"new_password1": NEW}),
        server.request("PATCH", f"/api/users/{other}/", json={"role": "manager"}, headers=root),
    ]
    assert [answer.status_code for answer in answers] == [302, 302, 403, 200]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ('grep "password.*reset" logs/security.log', "password_reset_requested"),
        ('grep "Permission denied" logs/error.log', "Manager attempted direct password change"),
        ('grep "Permission denied" logs/security.log', "Manager attempted direct password change"),
        ('grep "admin.*password" logs/info.log', "password_changed"),
        ('grep "admin.*password" logs/info.log', "password_reset_email_sent"),
        ('grep "role.*manager" logs/info.log', "role_changed"),
        ('grep "NoReverseMatch" logs/error.log', "no_reverse_match"),
        ('grep "template.*error" logs/error.log', "template_error"),
        ('grep "reverse.*admin" logs/debug.log', "url_reversed"),
        ('grep "namespace.*manager" logs/debug.log', "namespace_registered"),
        ('grep "password_reset_url" logs/debug.log', "user_page"),
    ],
)
def test_a_command_finds_its_line(folder, command, found):
    lines = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True).stdout.splitlines()

    assert any(found in line for line in lines)
    for line in lines:
        json.loads(line)


def test_the_address_of_the_button_is_masked(folder):
    lines = [json.loads(line) for line in (folder / "logs" / "debug.log").read_text().splitlines()]

    assert {line["password_reset_url"] for line in lines if "password_reset_url" in line} == {"[redacted]"}


def test_the_addresses_of_the_admin_sites_are_listed():
    command = f'{sys.executable} manage.py show_urls | grep "admin"'
    variables = os.environ | {"DJANGO_ENVIRONMENT": "test"}
    printed = subprocess.run(command, shell=True, cwd=PROJECT, capture_output=True, text=True, env=variables).stdout

    assert "/admin/api/user/<id>/password/" in printed
    assert "/manager/" in printed
    assert "manager_admin:" in printed


def test_the_samples_of_the_specification_are_met(folder):
    """Its two samples of the category api.admin, key by key."""
    lines = [json.loads(line) for line in (folder / "logs" / "info.log").read_text().splitlines()]
    (sent,) = [line for line in lines if line.get("event") == "password_reset_email_sent"]
    (denied,) = [line for line in lines if line.get("event") == "permission_denied"]

    assert sent["message"].startswith("Password reset email sent to ")
    assert sent["message"].endswith("@cosmo.example by maria.manager")
    assert (sent["logger"], sent["level"], sent["ip_address"]) == ("api.admin", "INFO", "127.0.0.1")
    assert isinstance(sent["user_id"], int)
    assert isinstance(sent["target_user_id"], int)
    assert sent["user_agent"].startswith("python-requests")
    assert denied["message"] == "Permission denied: Manager attempted direct password change"
    assert (denied["logger"], denied["level"]) == ("api.admin", "WARNING")
    assert (denied["user_role"], denied["attempted_action"]) == ("manager", "password_change")
    assert denied["ip_address"] == "127.0.0.1"
    assert denied["user_id"] == sent["user_id"]
    assert isinstance(denied["target_user_id"], int)
    assert denied["user_agent"].startswith("python-requests")


def test_the_page_of_operations_tells_who_changed_a_password(folder):
    """Its commands as they are written, but for the id of the person and the one of the request."""
    section = (PROJECT / "docs" / "operations.md").read_text().partition("## Password changes")[2]
    written = [line.strip() for line in section.partition("| event |")[0].splitlines() if line.startswith("    ")]
    lines = [json.loads(line) for line in (folder / "logs" / "security.log").read_text().splitlines()]
    (changed,) = [line for line in lines if line.get("event") == "password_changed"]
    known = {"42": str(changed["target_user_id"]), "0b32e166881a43d1": changed["request"]["id"]}

    printed = {}
    for command in written:
        command = re.sub("|".join(known), lambda found: known[found[0]], re.sub(" {3,}.*", "", command))
        command = command.replace("python manage.py", f"{sys.executable} {PROJECT / 'manage.py'}")
        variables = os.environ | {"DJANGO_ENVIRONMENT": "test", "LOGS_DIR": str(folder / "logs")}
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, env=variables)
        assert done.returncode == 0, (command, done.stderr)
        printed[command.partition(" ")[0]] = done.stdout

    found = json.loads(printed["grep"])
    assert (found["user_id"], found["user_role"]) == (changed["user_id"], "superuser")
    assert (found["ip_address"], found["user_agent"]) == ("127.0.0.1", changed["user_agent"])
    assert "Password changed" in printed[sys.executable]
    assert "Admin access" in printed[sys.executable]
