"""Files with secrets are private for every umask; log files keep their own mode."""

import os
import stat

import pytest

from tests.checkouts import manage, run

SEND = """
from django.core.mail import send_mail
send_mail("Reset", "https://cosmo.example.com/reset/token", None, ["a@example.com"])
"""


@pytest.fixture(autouse=True)
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir() if path.is_file()}


def test_development_database_and_journal_are_private(checkout):
    code = "from django.db import connection as c; import os; c.cursor().execute('CREATE TABLE a (b)'); " + (
        "print({n: oct(os.stat(n).st_mode & 0o777) for n in os.listdir() if n.startswith('db.sqlite3')})"
    )

    done = manage(checkout, "shell", "--verbosity", "0", "-c", code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(dict.fromkeys(eval(done.stdout), "0o600"))
    assert set(eval(done.stdout)) == {"db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"}
    assert modes(checkout)[".development-secrets"] == "0o600"
    assert modes(checkout / "logs")["info.log"] == "0o640"


@pytest.mark.parametrize(("environment", "mode"), [("development", "0o600"), ("test", "0o666")])
def test_existing_database_becomes_private_in_development_only(checkout, environment, mode):
    (checkout / "db.sqlite3").touch(0o666)
    code = "from django.db import connection; connection.ensure_connection()"

    assert run(checkout, "manage.py", "shell", "-c", code, DJANGO_ENVIRONMENT=environment).returncode == 0

    assert modes(checkout)["db.sqlite3"] == mode


def test_email_files_are_private(checkout, tmp_path):
    backend = "django.core.mail.backends.filebased.EmailBackend"

    done = manage(checkout, "shell", "-c", SEND, EMAIL_BACKEND=backend, EMAIL_FILE_PATH=str(tmp_path / "mails"))

    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "mails").iterdir()
    assert "reset/token" in file.read_text()
    assert oct(stat.S_IMODE(file.stat().st_mode)) == "0o600"


def test_email_files_have_a_default_folder(checkout):
    done = manage(checkout, "shell", "-c", SEND, EMAIL_BACKEND="django.core.mail.backends.filebased.EmailBackend")

    assert done.returncode == 0, done.stderr
    assert len(list((checkout / "mails").iterdir())) == 1
