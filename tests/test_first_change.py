"""docs/first-change.md works: its diffs and commands lead to a tested field."""

import re
import shlex
import shutil
import subprocess

from tests.checkouts import PROJECT, run
from tests.live.server import checkout as copy_project

PAGE = (PROJECT / "docs/first-change.md").read_text()
COPIED = ("pyproject.toml", "CHANGELOG.md")


def test_diffs_and_commands_of_the_page_succeed_in_a_copy_of_the_project(tmp_path):
    copy = copy_project(tmp_path)
    for folder in ("tests", "bench"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED:
        shutil.copy(PROJECT / name, copy)

    blocks = re.findall(r"^```(diff|sh)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for language, text in blocks:
        if language == "diff":
            _apply(text, copy)
            continue
        for line in text.splitlines():
            done = _run(line, copy)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    (migration,) = (copy / "api/migrations").glob("*_property_registration_number.py")
    assert migration.read_text().count("migrations.AddField(") == 1
    assert [language for language, _ in blocks].count("diff") == 6


def _apply(diff, copy):
    # Without fuzz, so that a diff whose context has changed fails here and not only for readers.
    command = ["patch", "--strip=1", "--fuzz=0", "--no-backup-if-mismatch"]
    done = subprocess.run(command, cwd=copy, input=diff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _run(line, copy):
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    program, *arguments = words[len(variables) :]
    prefix = [] if program == ".venv/bin/python" else ["-m", program.removeprefix(".venv/bin/")]
    return run(copy, *prefix, *arguments, **variables)
