"""Provide one signed-in client per role, browsers, log files and a real server."""

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
    """Skip WhiteNoise's scan of all static files, which each test client would repeat when it loads the middleware."""
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, which took a sixth of the run time."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


@pytest.fixture(autouse=True)
def reset_repeat_filters() -> None:
    """Report an outage in each test, even if an earlier test reported it."""
    for log_filter in logging.getLogger("psycopg.pool").filters:
        if isinstance(log_filter, RepeatFilter):
            log_filter.reset()


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Use cheap hashes of the same form in this process; servers under test use the production parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Argon2idPasswordHasher, "memory_cost", 8)
        patch.setattr(Argon2idPasswordHasher, "time_cost", 1)
        yield


@pytest.fixture
def real_passwords(monkeypatch) -> Iterator[None]:
    """Use the hash parameters of production."""
    monkeypatch.setattr(Argon2idPasswordHasher, "memory_cost", REAL_COST[0])
    monkeypatch.setattr(Argon2idPasswordHasher, "time_cost", REAL_COST[1])
    factories.password_hash.cache_clear()
    yield
    factories.password_hash.cache_clear()


@pytest.fixture
def client() -> APIClient:
    """Return a client without a login."""
    return APIClient()


def client_of(user: User) -> APIClient:
    """Return a client that is signed in as this user, without using a password."""
    client = APIClient()
    client.user = user
    sign_in_again(client)
    return client


def sign_in_again(client: APIClient) -> None:
    """Open a new session; needed after a test changes the time, because access tokens expire after five minutes."""
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
    """Return a function that writes every log record to files in the test's folder, as get_logging_config says."""

    def log_to(folder=tmp_path / "logs", **values) -> Logs:
        values = {"service": "cosmo-backend", "version": "1.0.0", "environment": "test"} | values
        logging.config.dictConfig(get_logging_config(logs_dir=folder, **values))
        return Logs(folder)

    yield log_to
    logging.config.dictConfig(settings.LOGGING)


@pytest.fixture
def logs(log_to) -> Logs:
    """Return the log files of this test."""
    return log_to()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """Start one server with the demo portfolio for all live tests; a test creates the rows that it changes."""
    folder = tmp_path_factory.mktemp("live")
    with demo_database(folder) as (database, passwords):
        variables = environment(folder, DATABASE_URL=database, WEB_TIMEOUT="30")
        with serving(variables, folder / "server.log") as running:
            running.passwords = passwords
            yield running


@pytest.fixture
def smtp(settings):
    """Configure a local SMTP address without a listening server, and no broker."""
    settings.CELERY_BROKER_URL = ""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", free_port(), 2
    return settings


@pytest.fixture
def smtp_server(smtp) -> Iterator[MailServer]:
    """Start the mail server at the configured address."""
    with mail_server(smtp.EMAIL_PORT) as server:
        yield server


@pytest.fixture
def nothing_leaves(monkeypatch):
    """Keep emails in the outbox."""
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)


@pytest.fixture
def root(db) -> Client:
    """Return a browser that is signed in as a superuser."""
    return browser_of(factories.user(username="root", role="superuser"))


@pytest.fixture
def boss(db) -> Client:
    """Return a browser that is signed in as a manager."""
    return browser_of(factories.user(username="boss", role="manager"))


@pytest.fixture
def browsers(root, boss) -> dict[str, Client]:
    """Return the user's browser for each of the two sites."""
    return {ADMIN: root, MANAGER: boss}


@pytest.fixture
def one_of_each(db) -> dict[str, Any]:
    """Create one row of each model, with a staff user."""
    worker = factories.user(username="worker", role="staff", department="cleaning")
    task = factories.task(title="Linen", assigned_to=worker)
    factories.notification(task, worker)
    mail = enqueue(MailDraft(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
    return {"task": task, "property": task.property, "user": worker, "outgoingmail": mail}


@pytest.fixture
def document(manager) -> dict:
    """Return the OpenAPI document."""
    return manager.get("/api/schema/").json()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Copy the project and compile it once, so that the processes started from it need not."""
    copy = copied_project(tmp_path_factory.mktemp("project"))
    compileall.compile_dir(copy, quiet=1)
    return copy


@pytest.fixture
def checkout(compiled, tmp_path):
    """Return a fresh copy of the project without a .env file or secrets."""
    return shutil.copytree(compiled, tmp_path / "checkout", copy_function=os.link)
