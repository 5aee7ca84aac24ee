"""Rotation: `info.log` becomes `info.log.1`, and each older backup gets the next number.

Each step can fail, and a process can be killed after any step. So the live file moves first, no file is overwritten,
and the oldest backup is deleted last.
"""

import os
from pathlib import Path

from backend.logs.handlers.locks import open_shared


class Backups:
    """The rotated files of one log file. Its methods need the exclusive lock."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self._new = path.with_name(f".{path.name}.new")

    def rotate(self) -> None:
        """Replace the live file by an empty one, or raise OSError and leave everything as it was."""
        self._move_backups()  # those of an earlier rotation that did not finish
        self._new.unlink(missing_ok=True)
        os.close(open_shared(self._new, os.O_RDWR))
        try:
            os.rename(self.path, self._numbered(0))
        except OSError:
            self._new.unlink()
            raise
        os.rename(self._new, self.path)
        self._move_backups()

    def _move_backups(self) -> None:
        """Give number 1 to the file that has number 0, and move the others up to the first gap."""
        if not os.path.lexists(self._numbered(0)):
            return
        gap = 1
        while os.path.lexists(self._numbered(gap)):
            gap += 1
        for number in range(gap - 1, -1, -1):
            os.rename(self._numbered(number), self._numbered(number + 1))
        if gap > self.count:
            os.unlink(self._numbered(gap))

    def _numbered(self, number: int) -> str:
        return f"{self.path}.{number}"
