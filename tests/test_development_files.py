"""The files for developers name commands, files and headings that exist."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.checkouts import PROJECT
from tests.plain_english import tracked_files

PAGES = [path for path in tracked_files(PROJECT) if path.suffix == ".md" and path.is_file()]
HOOKS = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def run_make(*arguments: str) -> str:
    # Without the variables of an outer `make test`, which would change what make prints.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def commands_of_check() -> list[list[str]]:
    """Return the words of each command of `make check`, without options and variables."""
    # As if the packages were installed: otherwise make lists the installation too.
    listing = run_make("--dry-run", "--old-file", ".venv/dev-installed", "check")
    return [words_of(line) for line in listing.splitlines()]


def words_of(command: str) -> list[str]:
    """Return the words of a command, without `env`, variables, options and the folder `.`."""
    ignored = re.compile(r"env|--?[a-z].*|[A-Z_]+=.*|\.")
    return [word for word in shlex.split(command) if not ignored.fullmatch(word)]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_pre_commit_hook_runs_a_command_of_make_check(hook):
    words = words_of(hook["entry"])
    assert any(command[: len(words)] == words for command in commands_of_check())


def test_workflow_calls_the_ci_script():
    workflow = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())
    assert "bash .ci/run" in [step.get("run") for step in workflow["jobs"]["ci"]["steps"]]


def test_make_help_lists_every_target_in_a_group():
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", makefile, re.MULTILINE)[1].replace("\\", "").split())
    printed = run_make("help")
    assert re.findall(r"^\w+$", printed, re.MULTILINE) == ["Run", "Test", "Check", "Measure"]
    assert set(re.findall(r"^  make (\S+)", printed, re.MULTILINE)) == targets - {"help"}


def test_contributing_lists_the_targets_of_test_check_and_measure():
    page = (PROJECT / "CONTRIBUTING.md").read_text()
    printed = run_make("help")
    targets = set(re.findall(r"^  make (\S+)", printed, re.MULTILINE)) - {"run", "clean"}
    assert set(re.findall(r"^\| `make (\S+)`", page, re.MULTILINE)) == targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_of_a_page_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not heading or heading in anchors_of(path), target


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_index_of_decisions_lists_every_decision():
    folder = PROJECT / "docs/decisions"
    index = (folder / "README.md").read_text()
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", index) == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_glossary_lists_each_term_once_in_alphabetical_order():
    page = (PROJECT / "docs/glossary.md").read_text()
    terms = [term.lower() for term in re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)[1:] if term != "---"]
    assert len(terms) > 50
    assert terms == sorted(set(terms))
