"""Fixtures: one signed-in client for each role, and a real server."""

import compileall
import gc
import logging.config
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from api.accounts.sessions import open_session
from api.common.choices import Role
from api.mail.outbox import MailDraft, enqueue
from api.users.models import User
from api.users.passwords import Argon2idPasswordHasher
from backend.logging_config import get_logging_config
from backend.logs.throttling import RepeatFilter
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, browser_of
from tests.live.server import Server, demo_database, environment, serving
from tests.live.server import checkout as copied_project
from tests.logs import Logs
from tests.smtp import MailServer, free_port, mail_server

REAL_COST = Argon2idPasswordHasher.memory_cost, Argon2idPasswordHasher.time_cost
logging.raiseExceptions = False  # pytest's own handler would fail tests that log what cannot be shown


def pytest_configure() -> None:
    """Each test's client loads the middleware anew, and would look through all static files: a quarter of all time."""
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_collection_finish() -> None:
    """What has been imported stays, and is looked through for garbage no more; the search was a sixth of all time."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


@pytest.fixture(autouse=True)
def nothing_was_told() -> None:
    """An outage in one test is news in the next one."""
    for kept in logging.getLogger("psycopg.pool").filters:
        if isinstance(kept, RepeatFilter):
            kept.reset()


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Hashes of the same form that take no time, in this process; servers under test make real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Argon2idPasswordHasher, "memory_cost", 8)
        patch.setattr(Argon2idPasswordHasher, "time_cost", 1)
        yield


@pytest.fixture
def real_passwords(monkeypatch) -> Iterator[None]:
    """Hashes as they are in production."""
    monkeypatch.setattr(Argon2idPasswordHasher, "memory_cost", REAL_COST[0])
    monkeypatch.setattr(Argon2idPasswordHasher, "time_cost", REAL_COST[1])
    factories.password_hash.cache_clear()
    yield
    factories.password_hash.cache_clear()


@pytest.fixture
def client() -> APIClient:
    """Nobody has signed in."""
    return APIClient()


def client_of(user: User) -> APIClient:
    """A client that is signed in as this user, without a password."""
    client = APIClient()
    client.user = user
    sign_in_again(client)
    return client


def sign_in_again(client: APIClient) -> None:
    """Needed where a test moves to another time: tokens are good for five minutes."""
    client.tokens = open_session(client.user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {client.tokens['access']}")


@pytest.fixture
def superuser(db) -> APIClient:
    return client_of(factories.user(role=Role.SUPERUSER))


@pytest.fixture
def manager(db) -> APIClient:
    return client_of(factories.user(role=Role.MANAGER))


@pytest.fixture
def staff(db) -> APIClient:
    """A cleaner."""
    return client_of(factories.user(role=Role.STAFF, department="cleaning"))


@pytest.fixture
def viewer(db) -> APIClient:
    return client_of(factories.user(role=Role.VIEWER))


@pytest.fixture
def log_to(tmp_path, settings):
    """A function that sends every record to files in a folder of this test, as get_logging_config says."""

    def log_to(folder=tmp_path / "logs", **values) -> Logs:
        values = {"service": "cosmo-backend", "version": "1.0.0", "environment": "test"} | values
        logging.config.dictConfig(get_logging_config(logs_dir=folder, **values))
        return Logs(folder)

    yield log_to
    logging.config.dictConfig(settings.LOGGING)


@pytest.fixture
def logs(log_to) -> Logs:
    """The log files of this test."""
    return log_to()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """One server with the demo portfolio for all live tests; what a test changes, it makes first."""
    folder = tmp_path_factory.mktemp("live")
    with demo_database(folder) as (database, passwords):
        variables = environment(folder, DATABASE_URL=database, WEB_TIMEOUT="30")
        with serving(variables, folder / "server.log") as running:
            running.passwords = passwords
            yield running


@pytest.fixture
def smtp(settings):
    """Django's settings for a mail server on this machine; nobody listens yet, and there is no broker."""
    settings.CELERY_BROKER_URL = ""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", free_port(), 2
    return settings


@pytest.fixture
def smtp_server(smtp) -> Iterator[MailServer]:
    """The mail server of those settings."""
    with mail_server(smtp.EMAIL_PORT) as server:
        yield server


@pytest.fixture
def nothing_leaves(monkeypatch):
    """Mails stay in the outbox."""
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)


@pytest.fixture
def root(db) -> Client:
    """A browser of a superuser."""
    return browser_of(factories.user(username="root", role="superuser"))


@pytest.fixture
def boss(db) -> Client:
    """A browser of a manager."""
    return browser_of(factories.user(username="boss", role="manager"))


@pytest.fixture
def browsers(root, boss) -> dict[str, Client]:
    """The one who works in each of the two sites."""
    return {ADMIN: root, MANAGER: boss}


@pytest.fixture
def one_of_each(db) -> dict[str, Any]:
    """One of everything, but people."""
    worker = factories.user(username="worker", role="staff", department="cleaning")
    task = factories.task(title="Linen", assigned_to=worker)
    factories.notification(task, worker)
    mail = enqueue(MailDraft(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
    return {"task": task, "property": task.property, "user": worker, "outgoingmail": mail}


@pytest.fixture
def document(manager) -> dict:
    """The OpenAPI document."""
    return manager.get("/api/schema/").json()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A copy of what starts, compiled once: else each of the starts below compiles it anew."""
    copy = copied_project(tmp_path_factory.mktemp("project"))
    compileall.compile_dir(copy, quiet=1)
    return copy


@pytest.fixture
def checkout(compiled, tmp_path):
    """A fresh copy of the project, without a .env file or secrets of its own."""
    return shutil.copytree(compiled, tmp_path / "checkout", copy_function=os.link)
