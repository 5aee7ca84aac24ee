"""Reading log files in tests, as an operator does."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any


class Logs:
    """The log files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self, name: str = "*.log*") -> str:
        """Everything in these files, rotated ones too."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob(name)))

    def entries(self, name: str, **having: Any) -> list[dict[str, Any]]:
        """The records of a file that have these values at the top level; every line must be one JSON object."""
        path = self.folder / f"{name}.log"
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert all(isinstance(entry, dict) for entry in entries)
        return [entry for entry in entries if having.items() <= {k: v for k, v in entry.items() if k in having}.items()]

    def entry(self, name: str, **having: Any) -> dict[str, Any]:
        """The one record that has these values."""
        (entry,) = self.entries(name, **having)
        return entry

    def of_request(self, name: str, answer: Any) -> list[dict[str, Any]]:
        """The records that were written while this answer was made."""
        request_id = answer.headers["X-Request-ID"]
        return [entry for entry in self.entries(name) if entry.get("request", {}).get("id") == request_id]

    def files_with(self, text: str) -> set[str]:
        """The names of the files in which this text stands."""
        return {path.name for path in self.folder.glob("*.log*") if text in path.read_text(encoding="utf-8")}

    def grep(self, command: str) -> str:
        """What this shell command prints in the folder above logs/."""
        return subprocess.run(command, shell=True, cwd=self.folder.parent, capture_output=True, text=True).stdout


def wait_until(holds: Callable[[], Any], *, seconds: float = 10) -> None:
    """Fail unless the condition holds within so many seconds."""
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.02)
