"""Helpers that read log files in tests, as an operator does."""

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
        """Return the contents of these files, including rotated files."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob(name)))

    def entries(self, name: str, **values: Any) -> list[dict[str, Any]]:
        """Return a file's records that have these top-level values. Every line must be one JSON object."""
        path = self.folder / f"{name}.log"
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert all(isinstance(entry, dict) for entry in entries)
        return [entry for entry in entries if values.items() <= {k: v for k, v in entry.items() if k in values}.items()]

    def entry(self, name: str, **values: Any) -> dict[str, Any]:
        """Return the only record that has these values."""
        (entry,) = self.entries(name, **values)
        return entry

    def of_request(self, name: str, response: Any) -> list[dict[str, Any]]:
        """Return the records of this response's request."""
        request_id = response.headers["X-Request-ID"]
        return [entry for entry in self.entries(name) if entry.get("request", {}).get("id") == request_id]

    def files_with(self, text: str) -> set[str]:
        """Return the names of the files that contain this text."""
        return {path.name for path in self.folder.glob("*.log*") if text in path.read_text(encoding="utf-8")}

    def grep(self, command: str) -> str:
        """Return the output of this shell command, run in the parent folder of logs/."""
        return subprocess.run(command, shell=True, cwd=self.folder.parent, capture_output=True, text=True).stdout


def wait_until(holds: Callable[[], Any], *, seconds: float = 10) -> None:
    """Fail unless the condition becomes true within `seconds`."""
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.02)
