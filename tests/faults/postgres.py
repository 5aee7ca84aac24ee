"""A PostgreSQL of its own for a test that stops, freezes or fills it. The programs are those of Debian."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.logs import wait_until
from tests.smtp import free_port

ROLE = "cosmo"  # what the service is: no superuser, so that it may not use the connections reserved for those


def _program(name: str) -> str:
    """The newest one; Debian keeps them out of the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    found = shutil.which(name, path=os.pathsep.join(map(str, reversed(folders)))) or shutil.which(name)
    if found is None:
        pytest.skip("needs PostgreSQL's programs: apt install postgresql")
    return found


class Cluster:
    """One server with its data, which runs as somebody else than root, because it refuses to be root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._as = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _run(self, *command: str) -> None:
        program, *arguments = command
        done = subprocess.run(
            [_program(program), *arguments], capture_output=True, text=True, check=False, cwd="/", **self._as
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, **settings: object) -> None:
        """Start it, and wait until it takes connections. Settings are those of postgresql.conf."""
        values = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 60,
            "shared_buffers": "32MB",
            "fsync": "off",  # processes die here, never the machine
            "log_line_prefix": "%m [%p] ",
        }
        options = [f"--{name}={value}" for name, value in (values | settings).items()]
        command = [_program("postgres"), "-D", str(self.data), *options]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True, **self._as
            )
        wait_until(self._takes_connections, seconds=30)

    def has_ended(self) -> bool:
        """Whether the server has given up by itself."""
        return self._process is not None and self._process.poll() is not None

    def _takes_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            self.session().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions in order ("fast"), SIGQUIT at once ("immediate": it has to recover afterwards)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All of its processes stand still: connections are taken by the kernel, and nobody answers."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        postmaster.suspend()  # first, so that no more are born
        everybody = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in everybody[1:]:
                process.suspend()
            yield
        finally:
            for process in reversed(everybody):
                process.resume()

    @contextmanager
    def wal_on_small_disk(self) -> Iterator[Path]:
        """The folder of the write-ahead log, with room for one segment more. Restarts the server, before and after."""
        place, disk = self.data / "pg_wal", self.folder / "small-wal"
        megabytes = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) // 2**20 + 20
        with small_disk(disk, megabytes):
            self.stop()
            _move(place, disk / "pg_wal")
            place.symlink_to(disk / "pg_wal")
            self.start()
            try:
                yield disk
            finally:
                self.stop()
                place.unlink()
                _move(disk / "pg_wal", place)
                self.start()

    def need_more_wal(self) -> None:
        """Begin segment after segment, until the server dies of it."""
        with suppress(psycopg.OperationalError):
            for _ in range(100):
                self.execute("SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")

    @contextmanager
    def standby(self) -> Iterator[None]:
        """Restarted as a standby, as the old primary after a failover; promoted at the end."""
        self.stop()
        (self.data / "standby.signal").touch()
        self.start()
        yield
        self.execute("SELECT pg_promote()")

    @contextmanager
    def read_only(self, database: str) -> Iterator[None]:
        """As hosts do where a disk is nearly full. A session that begins in the block is read-only for ever."""
        self.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        yield
        self.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")

    def url(self, database: str) -> str:
        return f"postgres://{ROLE}@127.0.0.1:{self.port}/{database}"

    def session(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of an administrator, each statement a transaction."""
        where = {"host": "127.0.0.1", "port": self.port, "dbname": database, "user": user}
        return psycopg.connect(**where, connect_timeout=5, autocommit=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.session(database) as session:
            cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def locked(self, database: str, table: str) -> Iterator[None]:
        """Hold an exclusive lock on a table, as a blocking migration would."""
        with self.session(database) as session, session.transaction():
            session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield

    @contextmanager
    def full_of_sessions(self) -> Iterator[None]:
        """Others hold every connection that ordinary roles can have; those of the service are ended first."""
        others = []
        try:
            while len(others) < 1000:
                try:
                    others.append(self.session(user=ROLE))
                except psycopg.OperationalError:
                    ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'cosmo%'"
                    if not any(ended for (ended,) in self.execute(ours)):
                        break
            yield
        finally:
            for other in others:
                other.close()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A new folder on a disk of its own, that everybody may write to."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """A file takes all the room that is left on the disk."""
    filler = folder / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=8k"], capture_output=True, check=False)
    try:
        yield
    finally:
        filler.unlink()


def _move(place: Path, to: Path) -> None:
    subprocess.run(["mv", str(place), str(to)], check=True)  # unlike shutil, keeps the owner


@contextmanager
def cluster() -> Iterator[Cluster]:
    """In a folder that others than root can reach."""
    with tempfile.TemporaryDirectory(prefix="cosmo-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Cluster(folder)
        server.start()
        server.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # its data are thrown away: nothing has to be written


def new_database(server: Cluster, *, template: str = "template1", tablespace: str = "pg_default") -> str:
    """The name of a database that is the service's own."""
    name = f"cosmo_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} TABLESPACE {tablespace}")
    # Without it a copied sequence gives numbers again after a crash: its lead was written down for the template only.
    server.execute("CHECKPOINT")
    return name


@dataclass
class Portfolio:
    """A migrated and filled database of a cluster, and who can sign in."""

    cluster: Cluster
    name: str
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return self.cluster.url(self.name)

    def tasks(self) -> list[tuple[int, str]]:
        return self.cluster.execute("SELECT id, title FROM api_task", self.name)
