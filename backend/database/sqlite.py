"""SQLite files that only their owner can read. SQLite gives -wal and -shm files the mode of the database."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from backend.files.private import PRIVATE, open_private


class PrivateConnection(sqlite3.Connection):
    """Creates its file with mode 0600; an existing file keeps its mode."""

    tightens_existing = False

    def __init__(self, database: str | Path, *args: Any, **kwargs: Any) -> None:
        if not str(database).startswith((":memory:", "file:")):
            with contextlib.suppress(OSError):  # connecting reports the problem
                self._make_private(Path(database))
        super().__init__(database, *args, **kwargs)

    def _make_private(self, file: Path) -> None:
        try:
            open_private(file, "xb").close()
        except FileExistsError:
            for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")) if self.tightens_existing else ():
                if path.exists() and path.stat().st_mode & 0o077:
                    path.chmod(PRIVATE)


class DevelopmentConnection(PrivateConnection):
    """Also corrects the mode of existing files."""

    tightens_existing = True
