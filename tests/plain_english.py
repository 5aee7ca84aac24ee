"""Reject words that docs/glossary.md replaces: `python -m tests.plain_english [FILE ...]`, without names for all files.

Quotations are listed in plain_english_exceptions.txt.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
EXCEPTIONS = Path(__file__).with_name("plain_english_exceptions.txt")
FORBIDDEN = re.compile(r"\b(his|him|himself|whoever)\b", re.IGNORECASE)
UNCHECKED = {EXCEPTIONS, Path(__file__).resolve()}

Quotations = set[tuple[str, str]]


def read_quotations(path: Path = EXCEPTIONS) -> Quotations:
    """Return the allowed (file, text) pairs; a line of the list is `file: text`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return {(name, text) for name, text in pairs}


def tracked_files(root: Path) -> list[Path]:
    """Return the files that git tracks or would add; without a repository, all files outside hidden folders."""
    # In a container the repository may belong to another user, which git rejects by default.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if listing.returncode:
        return [path for folder in root.glob("[!.]*") for path in [folder, *folder.rglob("*")]]
    return [root / name for name in listing.stdout.split("\0") if name]


def find_violations(files: Iterable[Path], root: Path, quotations: Quotations) -> Iterator[str]:
    """Yield `file:line: "word": text` for each line with a forbidden word outside a quotation."""
    for path in files:
        if path.resolve() in UNCHECKED or not path.is_file():
            continue
        name = path.resolve().relative_to(root).as_posix()
        allowed = [text for file, text in quotations if file == name]
        for number, line in enumerate(_read_lines(path), 1):
            for text in allowed:
                line = line.replace(text, "")
            if word := FORBIDDEN.search(line):
                yield f'{name}:{number}: "{word[0]}": {line.strip()[:100]}'


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []  # not a text file


def main(names: list[str], root: Path = PROJECT) -> int:
    files = [Path(name) for name in names] or tracked_files(root)
    violations = list(find_violations(files, root, read_quotations()))
    if violations:
        hint = f"{len(violations)} lines use words that the project avoids. Write a role or they, them, their."
        sys.stdout.write("\n".join([*violations, hint, ""]))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
