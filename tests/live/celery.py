"""Celery's programs as they are deployed, for tests."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.server import PROJECT
from tests.logs import wait_until


@contextmanager
def celery(folder: Path, variables: dict[str, str], *arguments: str, says: str) -> Iterator[subprocess.Popen]:
    """A program that has said on its console that it is ready, until the block ends; in a process group of its own."""
    console = folder / f"{arguments[0]}-{time.monotonic()}"
    with console.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "backend", *arguments],
            cwd=PROJECT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: says in console.read_text(errors="replace"), seconds=30)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def worker(folder: Path, variables: dict[str, str], *, concurrency: int = 1):
    return celery(folder, variables, "worker", f"--concurrency={concurrency}", "--without-gossip", says="ready")


def beat(folder: Path, variables: dict[str, str], *, schedule: Path):
    return celery(folder, variables, "beat", "--schedule", str(schedule), says="beat: Starting")
