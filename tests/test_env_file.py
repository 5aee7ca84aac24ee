"""The .env file: each line is valid or is reported by its number, and no text of the file is shown."""

import ast
import os
import re
import shutil
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.environment.env_file import EnvFile
from tests.checkouts import CANARY, REQUIRED, manage, run

LINES = [
    ("APP_VERSION=2.0", "2.0"),
    ("APP_VERSION=2.0   # a comment", "2.0"),
    ("APP_VERSION=2.0#beta", "2.0#beta"),
    ("APP_VERSION='2.0 # kept'", "2.0 # kept"),
    ('APP_VERSION="2.0 # kept"   # dropped', "2.0 # kept"),
    ("export APP_VERSION=2.0 ", "2.0"),
    ("APP_VERSION=$2.0", "$2.0"),
    ("APP_VERSION=   # nothing", "1.0.0"),
    ("APP_VERSION=", "1.0.0"),
    ("  APP_VERSION=2.0", "2.0"),
    ("\tAPP_VERSION\t=\t2.0\t", "2.0"),
    ("APP_VERSION = 2.0 # a comment", "2.0"),
    ("export\tAPP_VERSION = '2.0'", "2.0"),
    ("\ufeffAPP_VERSION=2.0", "2.0"),
    ("APP_VERSION=2.0\r", "2.0"),
    ("APP_VERSION=' 2.0 '", " 2.0 "),
    (r'APP_VERSION="2.\"0\\"', r'2."0\\'[:-1]),
    (r'APP_VERSION="2\n0"', r"2\n0"),
    ("APP_VERSION=it's", "it's"),
    ("APP_VERSION=2.0\nAPP_VERSION='2.0'", "2.0"),
]

READ_VERSIONS = """
import importlib, os, sys
from pathlib import Path
clean = dict(os.environ)
for line in CASES:
    Path(".env").write_text(line + "\\n")
    os.environ.clear()
    os.environ.update(clean)
    sys.modules.pop("backend.settings", None)
    print(repr(importlib.import_module("backend.settings").APP_VERSION))
"""


@pytest.fixture(scope="module")
def versions(compiled, tmp_path_factory) -> dict[str, str]:
    """Return the value of each line as {line: APP_VERSION}. One process loads the settings once per line."""
    folder = shutil.copytree(compiled, tmp_path_factory.mktemp("lines") / "checkout", copy_function=os.link)
    done = run(folder, "-c", f"CASES = {[line for line, _ in LINES]!r}\n{READ_VERSIONS}")
    assert done.returncode == 0, done.stderr
    return dict(zip((line for line, _ in LINES), done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("line", "value"), LINES)
def test_env_file_line_ends_before_blanks_and_comments(versions, line, value):
    assert versions[line] == repr(value)


INVALID_LINES = [
    f"SECRET_KEY: {CANARY}",
    f"SECRET_KEY {CANARY}",
    f"set SECRET_KEY={CANARY}",
    f"SECRET-KEY={CANARY}",
    f"={CANARY}",
    f"7SECRET={CANARY}",
    CANARY,
    f"export {CANARY}",
    f"[{CANARY}]",
    f"; {CANARY}",
    f"SECRET_KEY='{CANARY}",
    f'SECRET_KEY="{CANARY}',
    f'SECRET_KEY="{CANARY}\\"',
    f"SECRET_KEY='{CANARY}'{CANARY}",
    f'SECRET_KEY="{CANARY}" {CANARY}',
    f"\u00a0SECRET_KEY={CANARY}",
    f"SECRET_KEY={CANARY}\u200b",
    f"SECRET_KEY={CANARY}\rDEBUG=off",
    f"SECRET_KEY={CANARY}\x1b",
    f"\ufeffSECRET_KEY={CANARY}",
]


def test_invalid_lines_are_named_by_number_but_not_shown(checkout):
    lines = ["DJANGO_ENVIRONMENT=production", *chain.from_iterable((line, "# a comment", "") for line in INVALID_LINES)]
    (checkout / ".env").write_text("\n".join(lines), newline="")

    done = manage(checkout, "check", **REQUIRED)

    assert done.returncode == 1
    assert [int(number) for number in re.findall(r"^  \.env, line (\d+) ", done.stderr, re.MULTILINE)] == list(
        range(2, len(lines) + 1, 3)
    )
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr + done.stdout
    assert not (checkout / ".development-secrets").exists()


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("utf-16", ".env is written in UTF-16; save it as UTF-8."),
        ("utf-32", ".env is written in UTF-32; save it as UTF-8."),
        ("utf-16-le", ".env contains NUL bytes"),
        ("utf-16-be", ".env contains NUL bytes"),
        ("utf-32-be", ".env contains NUL bytes"),
        ("latin-1", ".env, line 2 is not UTF-8"),
        ("cp1252", ".env, line 2 is not UTF-8"),
        ("gb18030", ".env, line 2 is not UTF-8"),
    ],
)
def test_wrong_encoding_is_named(tmp_path, encoding, sentence):
    (tmp_path / ".env").write_bytes(f"DJANGO_ENVIRONMENT=production\nAPP_VERSION={CANARY}\u00fc\n".encode(encoding))

    problems = EnvFile(tmp_path / ".env").problems

    assert len(problems) == 1
    assert problems[0].startswith(sentence)
    assert CANARY not in problems[0]


def test_startup_fails_when_the_file_is_utf_16(checkout):
    (checkout / ".env").write_text(f"DJANGO_ENVIRONMENT=production\nSECRET_KEY={CANARY}\n", encoding="utf-16")

    done = manage(checkout, "check", DJANGO_ENVIRONMENT="production")

    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["  .env is written in UTF-16; save it as UTF-8."]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "cannot be read: it is not a file."),
        (lambda path: path.symlink_to("missing"), "cannot be read: it is a link to a file that does not exist."),
        (lambda path: path.symlink_to("/dev/null"), "cannot be read: it is not a file."),
        (lambda path: path.symlink_to(path), "cannot be read: "),
        (lambda path: path.write_bytes(b""), "is empty: fill it in or remove it."),
        (lambda path: path.write_bytes(b"\n" * 4096), "is empty: fill it in or remove it."),
        (lambda path: path.write_bytes(bytes(4096)), "contains NUL bytes"),
        (lambda path: path.write_bytes(b"#" * 1024 * 1024 + b"#"), "is larger than 1 MB"),
    ],
    ids=["folder", "dangling link", "device", "loop", "empty", "blank", "NUL bytes", "large"],
)
def test_unusable_file_is_reported_with_a_reason(tmp_path, make, reason):
    make(tmp_path / ".env")

    env_file = EnvFile(tmp_path / ".env")

    assert env_file.values == {}
    assert len(env_file.problems) == 1
    assert env_file.problems[0].startswith(f".env {reason}")


def test_name_with_two_values_is_reported(tmp_path):
    (tmp_path / ".env").write_text(f"DEBUG=off\nSECRET_KEY={CANARY}\n\nSECRET_KEY={CANARY}2\nDEBUG='off'\n")

    assert EnvFile(tmp_path / ".env").problems == [".env, lines 2 and 4 set SECRET_KEY to different values."]


STARTS = """
import importlib, os, sys
from pathlib import Path
from django.core.exceptions import ImproperlyConfigured
clean, started = dict(os.environ), {}
for line in CASES:
    Path(".env").write_bytes(line + b"\\n" + OTHER_LINES)
    os.environ.clear()
    os.environ.update(clean)
    sys.modules.pop("backend.settings", None)
    try:
        started[line] = importlib.import_module("backend.settings").DEBUG
    except ImproperlyConfigured:
        pass
print(started)
"""


def test_damaged_environment_line_never_turns_debug_on(checkout):
    line = b"DJANGO_ENVIRONMENT=production"
    valid = [line, line.replace(b"=", b" = "), b"  " + line, b"\xef\xbb\xbf" + line, b"export " + line, line + b"\r"]
    misspelled = [line.lower(), line.replace(b"RON", b"RO"), line[7:], line.replace(b"IRONMENT", b""), line[:19]]
    damaged = [
        line[:at] + byte + line[end:]
        for at in range(len(line))
        for end in (at, at + 1)
        for byte in (b"", b"\0", b"\t", b"\n", b"\r", b" ", b"=", b"'", b'"', b"x", b"_", b"\xff")
    ]
    other = "".join(f"{name}={value}\n" for name, value in REQUIRED.items()).encode()

    done = run(checkout, "-c", f"CASES, OTHER_LINES = {valid + misspelled + damaged!r}, {other!r}\n{STARTS}")

    assert done.stderr == ""
    started = ast.literal_eval(done.stdout)
    assert set(valid) <= set(started)
    assert not any(started.values())


def test_startup_fails_when_the_environment_name_is_misspelled(checkout):
    (checkout / ".env").write_text("DJANGO_ENVIROMENT=production\n")

    done = manage(checkout, "check")

    assert done.returncode == 1
    assert "DJANGO_ENVIRONMENT is not set, but an unknown name is" in done.stderr
    assert "Cosmo does not read DJANGO_ENVIROMENT; is DJANGO_ENVIRONMENT meant?" in done.stderr
    assert manage(checkout, "check", DJANGO_ENVIRONMENT="development").returncode == 0


SNIPPETS = st.sampled_from(
    [b"A=1", b"export ", b"'", b'"', b"\\", b" ", b"\t", b"#", b"=", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xfe",
     b"\xef\xbb\xbf", b"\xc2\xa0", "\u2028".encode(), b"NAME", CANARY.encode()]
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.binary(max_size=200), st.lists(SNIPPETS, max_size=30).map(b"".join)))
@example(b"A='x' #\n" * 3 + b"\xff")
def test_arbitrary_bytes_give_values_or_problems_without_file_text(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.env"
    path.write_bytes(content)

    env_file = EnvFile(path)

    shape = r"fuzz\.env(?:, lines? \d+(?: and \d+)?)? (?:is|contains|set (?:NAME|A|1)+)\b[ -~]*\."
    assert all(re.fullmatch(shape, problem) for problem in env_file.problems)
    assert all(CANARY not in problem for problem in env_file.problems)
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assignments = [line for line in lines if line.strip(b" \t\r") and not line.strip(b" \t").startswith(b"#")]
    raw_names = [re.sub(rb"^export[ \t]+", b"", line.partition(b"=")[0].strip()) for line in assignments]
    names = {name.decode(errors="replace") for name in raw_names}
    assert env_file.problems or set(env_file.values) == names


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_printable_value_is_unchanged_by_quotes(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "quoted.env"
    escaped = re.sub(r'([\\"])', r"\\\1", value)
    path.write_text(f'A="{escaped}"\n' + (f"B='{value}'\n" if "'" not in value else "B=1\n"))

    env_file = EnvFile(path)

    assert env_file.problems == []
    assert env_file.values["A"] == value
    assert env_file.values["B"] in {value, "1"}


def test_invalid_file_creates_no_development_secrets(checkout):
    (checkout / ".env").write_text("DJANGO_ENVIRONMENT: production\nAPP_VERSION=2.0\n")

    assert manage(checkout, "check").returncode == 1
    assert not (checkout / ".development-secrets").exists()


@pytest.mark.parametrize("content", [b"", b"one", b"\xff\xfe one"])
def test_damaged_development_secrets_are_reported(checkout, content):
    (checkout / ".development-secrets").write_bytes(content)

    done = manage(checkout, "check")

    assert done.returncode == 1
    assert ".development-secrets is damaged; remove it" in done.stderr
    assert "Traceback" not in done.stderr
