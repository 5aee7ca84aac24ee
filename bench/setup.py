"""Databases and servers for benchmarks: Cosmo as deployed, and a plain application on the same tables."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.live.server import Server, environment, fill_with_demo, fresh_database, manage, serving

PASSWORD = "bench-of-cosmo-1"
TASKS = 10_000
HUGE_PAGES = "glibc.malloc.hugetlb=1"  # as in deploy/systemd and the Dockerfile

_FILL = """
import random
from datetime import UTC, datetime, timedelta
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from api.models import Task, Property, User
from api.users.passwords import Argon2idPasswordHasher
users = {}
for name, hasher in (("cosmo", Argon2idPasswordHasher()), ("plain", PBKDF2PasswordHasher())):
    user = User(username=f"bench.{name}", email=f"bench.{name}@example.com", role="manager")
    user.password = hasher.encode("%(password)s", hasher.salt())
    user.save()
    users[name] = user
properties, staff = list(Property.objects.all()), list(User.objects.filter(role="staff"))
types = ["cleaning", "maintenance", "laundry", "lawn_pool", "inspection", "preparation", "administration", "other"]
now, rng = datetime.now(UTC), random.Random(1)
def task(number):
    status = rng.choice(["pending", "pending", "in_progress", "completed", "canceled"])
    due_date = now + timedelta(minutes=rng.randint(-99_999, 99_999))
    return Task(
        title=f"Task {number}", description="Two sets, in the cupboard of the hall.", task_type=rng.choice(types),
        status=status, priority=rng.randint(1, 4), property=rng.choice(properties),
        assigned_to=rng.choice([None, *staff]), created_by=users["cosmo"], modified_by=users["cosmo"],
        started_at=due_date if status in {"in_progress", "completed"} else None,
        completed_at=due_date if status == "completed" else None,
        created_at=now, modified_at=now, due_date=due_date,
    )
Task.objects.bulk_create(map(task, range(%(tasks)d - Task.objects.count())), batch_size=1000)
connection.cursor().execute("ANALYZE")  # as autovacuum does later
"""
_TOKENS = """
import json
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken
from api.models import User
from api.accounts.sessions import open_session
cosmo, plain = (User.objects.get(username=f"bench.{name}") for name in ("cosmo", "plain"))
browser = Client()
browser.force_login(cosmo)
tokens = {"cosmo": open_session(cosmo)["access"], "plain": str(AccessToken.for_user(plain))}
print(json.dumps({**tokens, "browser": browser.cookies["sessionid"].value}))
"""
_MULTIPLY = """
DO $$ DECLARE columns text; values_sql text; BEGIN
    SELECT string_agg(quote_ident(column_name), ', '),
           string_agg(CASE column_name WHEN 'due_date' THEN $q$due_date + copy * interval '7 minutes'$q$
                      ELSE quote_ident(column_name) END, ', ')
    INTO columns, values_sql
    FROM information_schema.columns WHERE table_name = 'api_task' AND column_name <> 'id';
    EXECUTE 'INSERT INTO api_task (' || columns || ') SELECT ' || values_sql
        || ' FROM api_task, generate_series(1, {times}) AS copy';
END $$
"""


@dataclass
class BenchSetup:
    """A database with tasks, and servers that use it."""

    folder: Path
    variables: dict[str, str]

    def tokens(self) -> dict[str, str]:
        """Return a manager's access tokens (`cosmo`, `plain`; valid for five minutes) and session ID (`browser`)."""
        tokens: dict[str, str] = json.loads(self._shell(_TOKENS).splitlines()[-1])
        return tokens

    def _shell(self, code: str) -> str:
        return manage(self.variables, "shell", "--verbosity", "0", "-c", code)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of another server with the same database and its own port."""
        return {**self.variables, "WEB_BIND": environment(self.folder)["WEB_BIND"], **more}

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[tuple[Server, float]]:
        """Start a server; yield it and the seconds until its first response."""
        application = {"cosmo": "backend.wsgi:application", "plain": "bench.reference.wsgi:application"}[name]
        started = time.monotonic()
        with serving(self.environment(), self.folder / f"{name}.console", application) as server:
            yield server, time.monotonic() - started

    def multiply(self, times: int) -> None:
        """Add `times` copies of every task with other due dates (PostgreSQL only)."""
        # Cosmo's own connections have a statement timeout.
        with psycopg.connect(self.variables["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(_MULTIPLY.replace("{times}", str(times)))  # type: ignore[arg-type]
            connection.execute("VACUUM ANALYZE")  # as autovacuum does later


@contextlib.contextmanager
def set_up() -> Iterator[BenchSetup]:
    """Create a database with 10,000 tasks; drop it afterwards."""
    with tempfile.TemporaryDirectory() as name, fresh_database(Path(name)) as database:
        folder = Path(name)
        more = {"DATABASE_URL": database, "WEB_CONCURRENCY": "1", "WEB_THREADS": "4"}
        variables = environment(folder, GLIBC_TUNABLES=HUGE_PAGES, **more)
        fill_with_demo(folder, database)
        setup = BenchSetup(folder, variables)
        setup._shell(_FILL % {"tasks": TASKS, "password": PASSWORD})
        yield setup


def describe_host() -> str:
    """Return the date, the number of cores and the database of the measurement."""
    database = "PostgreSQL" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "SQLite"
    return f"{time.strftime('%d %B %Y')}, {os.cpu_count()} cores, {database}"
