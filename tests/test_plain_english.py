"""`make check` rejects words that the glossary replaces."""

import subprocess

import pytest

from tests import plain_english

WORD = "who" + "ever"  # whole, it would be a violation of this file


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "docs").mkdir()
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path.resolve()


def violations(checkout, quotations=frozenset()):
    return list(plain_english.find_violations(plain_english.tracked_files(checkout), checkout, quotations))


def test_planted_word_is_reported_with_file_and_line(checkout):
    (checkout / "docs/page.md").write_text(f"# A page\n\nSend it to {WORD.capitalize()} asks.\n")
    assert violations(checkout) == [f'docs/page.md:3: "{WORD.capitalize()}": Send it to {WORD.capitalize()} asks.']


def test_word_inside_another_word_is_accepted(checkout):
    (checkout / "docs/page.md").write_text("The history of this page is whimsical.\n")
    assert violations(checkout) == []


def test_quotation_is_accepted_only_in_its_file(checkout):
    text = f"“{WORD} comes first”"
    for name in ("docs/quoted.md", "docs/other.md"):
        (checkout / name).write_text(text + "\n")
    assert [line.split(":")[0] for line in violations(checkout, {("docs/quoted.md", text)})] == ["docs/other.md"]


def test_files_outside_hidden_folders_are_checked_without_a_repository(tmp_path):
    for name in ("docs/page.md", ".venv/page.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"{WORD} signs in\n")
    assert [line.split(":")[0] for line in violations(tmp_path)] == ["docs/page.md"]


def test_binary_file_is_skipped(checkout):
    (checkout / "docs/picture.png").write_bytes(b"\x89PNG\xff " + WORD.encode())
    assert violations(checkout) == []


def test_command_checks_the_named_files_and_exits_with_1(checkout, capsys):
    clean, dirty = checkout / "clean.txt", checkout / "dirty.txt"
    clean.write_text("They sign in.\n")
    dirty.write_text(f"{WORD} signs in.\n")
    assert plain_english.main([str(clean)], root=checkout) == 0
    assert plain_english.main([str(clean), str(dirty)], root=checkout) == 1
    assert "dirty.txt:1" in capsys.readouterr().out


def test_each_listed_quotation_is_in_its_file():
    for name, text in plain_english.read_quotations():
        assert text in (plain_english.PROJECT / name).read_text(), f"{name}: remove the exception for {text!r}"
