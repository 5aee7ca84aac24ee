"""Helpers that start log writers together, and count every line that they wrote."""

import contextlib
import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
WRITERS = 4


@contextlib.contextmanager
def writing(kind: str, path: Path, **options: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """Run four processes that start to write at the same moment, and wait for them at the end."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.faults.log_writer", kind, str(path), *arguments]
    writers = [
        subprocess.Popen(
            [*command, f"--writer={number}"], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.close()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.wait(timeout=300)
            assert writer.stdout is not None
            writer.stdout.close()


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield every line of the file and of its rotated files, including compressed files."""
    for file in path.parent.glob(f"{path.name}*"):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        yield from content.splitlines(keepends=True)


def count_lines(path: Path) -> tuple[Counter[tuple[int, int]], int]:
    """Return how often each (writer, number) occurs, and the number of lines that are no complete record."""
    counts: Counter[tuple[int, int]] = Counter()
    torn = 0
    for line in lines_of(path):
        try:
            entry = json.loads(line)
            counts[entry["writer"], entry["number"]] += 1
        except (ValueError, KeyError):
            torn += 1
    return counts, torn
