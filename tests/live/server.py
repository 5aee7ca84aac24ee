"""A real gunicorn with two workers on a database of its own, for tests of what only several processes can show."""

import atexit
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests
from psycopg import sql

from tests.logs import Logs

PROJECT = Path(__file__).resolve().parent.parent.parent


class Server:
    def __init__(self, environment: dict[str, str], process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url, self.environment, self.process, self.log = (
            f"http://{environment['WEB_BIND']}",
            environment,
            process,
            log,
        )
        self.logs = Logs(Path(environment["LOGS_DIR"]))

    def console(self) -> str:
        """What the server has printed, mails among it where they go to the console."""
        return self.log.read_text()

    def manage(self, *arguments: str) -> str:
        return manage(self.environment, *arguments)

    def request(self, method: str, path: str, **kwargs: object) -> requests.Response:
        return requests.request(method, self.url + path, timeout=30, allow_redirects=False, **kwargs)  # type: ignore[arg-type]

    def sign_in(self, username: str, password: str) -> dict[str, str]:
        """The headers of a signed-in client."""
        answer = self.request("POST", "/api/auth/login/", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access']}"}

    def browser(self, site: str, username: str, password: str) -> requests.Session:
        """A browser that has signed in to one of the admin sites."""
        browser, address = requests.Session(), f"{self.url}{site}login/"
        page = browser.get(address, timeout=30).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]  # type: ignore[index]
        values = {"username": username, "password": password, "csrfmiddlewaretoken": token}
        answer = browser.post(address, values, headers={"Referer": self.url}, timeout=30, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return browser


def manage(environment: dict[str, str], *arguments: str, project: Path = PROJECT) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def migrate(variables: dict[str, str]) -> None:
    """Create the tables; an SQLite database is a copy of a file that this process migrates once."""
    database = variables["DATABASE_URL"]
    if database.startswith("sqlite:///"):
        shutil.copy(_migrated_file(), database.removeprefix("sqlite:///"))
    else:
        manage(variables, "migrate", "--verbosity", "0")


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cosmo-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    manage(environment(folder), "migrate", "--verbosity", "0")
    return folder / "live.sqlite3"


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a server whose port is free and whose secrets are its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return os.environ | {
        "DJANGO_ENVIRONMENT": "test",
        "DATABASE_URL": f"sqlite:///{folder / 'live.sqlite3'}",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SIGNING_KEY": secrets.token_urlsafe(48),
        "LOGS_DIR": str(folder / "logs"),
        "WEB_BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "2",
        "WEB_THREADS": "8",
        **variables,
    }


def checkout(folder: Path) -> Path:
    """A copy of what the image holds, into this folder."""
    for name in ("backend", "api", "deploy"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "manage.py", folder)
    return folder


def demo_passwords(printed: str) -> dict[str, str]:
    """{username: password} from what seed_demo printed."""
    return dict(re.findall(r"^ +\w+ +(\S+\.\S+) +(\S+)$", printed, re.MULTILINE))


@contextmanager
def fresh_database(folder: Path) -> Iterator[str]:
    """The address of a new database beside the one that the tests were given."""
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("postgres"):
        yield f"sqlite:///{folder / 'live.sqlite3'}"
        return
    name = f"cosmo_live_{secrets.token_hex(6)}"
    with psycopg.connect(given, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(given)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def demo_database(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A new database with the demo portfolio, and its passwords; `folder` is one of pytest's, and this test's own."""
    with fresh_database(folder) as database:
        if database.startswith("sqlite"):
            of_the_run = folder.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else folder.parent
            copied, passwords = _made_once(of_the_run)
            shutil.copy(copied, database.removeprefix("sqlite:///"))
            yield database, passwords
        else:
            yield database, fill_with_demo(folder, database)


def _made_once(folder: Path) -> tuple[Path, dict[str, str]]:
    """Of all processes of a run of pytest, by the first that needs it."""
    file, passwords = folder / "demo.sqlite3", folder / "demo.json"
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not passwords.exists():
            passwords.write_text(json.dumps(fill_with_demo(folder, f"sqlite:///{file}")))
    return file, json.loads(passwords.read_text())


def fill_with_demo(folder: Path, database: str) -> dict[str, str]:
    """Migrate, and make the demo portfolio; its passwords, which are in `accounts` in that folder, too."""
    variables = environment(folder, DATABASE_URL=database)
    manage(variables, "migrate", "--verbosity", "0")
    return demo_passwords(manage(variables, "seed_demo", "--accounts", str(folder / "accounts")))


@contextmanager
def serving(
    variables: dict[str, str],
    log: Path,
    application: str = "backend.wsgi:application",
    options: Sequence[str] = (),
    *,
    project: Path = PROJECT,
    python: str = sys.executable,
) -> Iterator[Server]:
    """gunicorn as it is deployed, until the block ends."""
    command = [python, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", *options, application]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=project, env=variables, stdout=output, stderr=subprocess.STDOUT)
    server = Server(variables, process, log)
    try:
        _wait_until_up(server, log)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=40)


def _wait_until_up(server: Server, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.request("GET", "/api/nothing/")
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"The server did not start:\n{log.read_text()}")
