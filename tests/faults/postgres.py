"""A separate PostgreSQL server for tests that stop, freeze or fill it. It uses the Debian packages."""

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

ROLE = "cosmo"  # role of the service: no superuser, so that it cannot use the reserved connections


def _program(name: str) -> str:
    """Return the path of the newest version. Debian does not put these programs on PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    program = shutil.which(name, path=os.pathsep.join(map(str, reversed(folders)))) or shutil.which(name)
    if program is None:
        pytest.skip("needs PostgreSQL's programs: apt install postgresql")
    return program


class Cluster:
    """One server with its data. PostgreSQL rejects root, so root starts it as the user postgres."""

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
        """Start it with these settings of postgresql.conf, and wait until it accepts connections."""
        values = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 60,
            "shared_buffers": "32MB",
            "fsync": "off",  # only processes are killed, so no data in the OS cache is lost
            "log_line_prefix": "%m [%p] ",
        }
        options = [f"--{name}={value}" for name, value in (values | settings).items()]
        command = [_program("postgres"), "-D", str(self.data), *options]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True, **self._as
            )
        wait_until(self._accepts_connections, seconds=30)

    def has_ended(self) -> bool:
        """Return whether the server process has exited by itself."""
        return self._process is not None and self._process.poll() is not None

    def _accepts_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            self.session().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it. SIGINT is a "fast" shutdown; after SIGQUIT ("immediate") the next start needs a recovery."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend all its processes. The kernel accepts connections, but no process responds."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        postmaster.suspend()  # first, so that it starts no more processes
        processes = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in processes[1:]:
                process.suspend()
            yield
        finally:
            for process in reversed(processes):
                process.resume()

    @contextmanager
    def wal_on_small_disk(self) -> Iterator[Path]:
        """Move the write-ahead log to a disk with room for one more segment. Restart the server before and after."""
        wal, disk = self.data / "pg_wal", self.folder / "small-wal"
        megabytes = sum(file.stat().st_size for file in wal.rglob("*") if file.is_file()) // 2**20 + 20
        with small_disk(disk, megabytes):
            self.stop()
            _move(wal, disk / "pg_wal")
            wal.symlink_to(disk / "pg_wal")
            self.start()
            try:
                yield disk
            finally:
                self.stop()
                wal.unlink()
                _move(disk / "pg_wal", wal)
                self.start()

    def need_more_wal(self) -> None:
        """Start new segments until the server exits."""
        with suppress(psycopg.OperationalError):
            for _ in range(100):
                self.execute("SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")

    @contextmanager
    def standby(self) -> Iterator[None]:
        """Restart it as a standby, like an old primary after a failover. Promote it at the end."""
        self.stop()
        (self.data / "standby.signal").touch()
        self.start()
        yield
        self.execute("SELECT pg_promote()")

    @contextmanager
    def read_only(self, database: str) -> Iterator[None]:
        """Make new sessions read-only, as hosts do if a disk is nearly full. They stay read-only after the block."""
        self.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        yield
        self.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")

    def url(self, database: str) -> str:
        return f"postgres://{ROLE}@127.0.0.1:{self.port}/{database}"

    def session(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[Any]:
        """Open an administrator connection with autocommit."""
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
        """Use all connections of ordinary roles, and end the sessions of the service."""
        sessions = []
        try:
            while len(sessions) < 1000:
                try:
                    sessions.append(self.session(user=ROLE))
                except psycopg.OperationalError:
                    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'cosmo%'"
                    if not any(ended for (ended,) in self.execute(terminate)):
                        break
            yield
        finally:
            for session in sessions:
                session.close()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Create a folder on its own small disk, writable by all users."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill the rest of the disk with one file."""
    filler = folder / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=8k"], capture_output=True, check=False)
    try:
        yield
    finally:
        filler.unlink()


def _move(source: Path, target: Path) -> None:
    subprocess.run(["mv", str(source), str(target)], check=True)  # unlike shutil, keeps the owner


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server in a folder that is readable without root permissions."""
    with tempfile.TemporaryDirectory(prefix="cosmo-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Cluster(folder)
        server.start()
        server.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # its data is deleted, so nothing has to be written


def new_database(server: Cluster, *, template: str = "template1", tablespace: str = "pg_default") -> str:
    """Create a database that the service owns; return its name."""
    name = f"cosmo_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} TABLESPACE {tablespace}")
    # Without a checkpoint, a copied sequence repeats numbers after a crash: the WAL has its lead only for the template.
    server.execute("CHECKPOINT")
    return name


@dataclass
class Portfolio:
    """A migrated database of a cluster with demo data, and the passwords of its users."""

    cluster: Cluster
    name: str
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return self.cluster.url(self.name)

    def tasks(self) -> list[tuple[int, str]]:
        return self.cluster.execute("SELECT id, title FROM api_task", self.name)
