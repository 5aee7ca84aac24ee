"""The environment: wrong and missing values stop the start, all named at once, and none is shown."""

import compileall
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.live import server

PROJECT = Path(__file__).resolve().parent.parent
CANARY = "canary-7261"
REQUIRED = {
    "SECRET_KEY": "secret-" * 8,
    "JWT_SIGNING_KEY": "signing-" * 7,
    "ALLOWED_HOSTS": "cosmo.example.com",
    "DATABASE_URL": "postgres://cosmo@127.0.0.1/cosmo",
    "PUBLIC_BASE_URL": "https://cosmo.example.com",
    "DEFAULT_FROM_EMAIL": "cosmo@example.com",
    "EMAIL_HOST": "127.0.0.1",
    "TRUSTED_PROXY_COUNT": "1",
}
PRODUCTION = REQUIRED | {"DJANGO_ENVIRONMENT": "production"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A copy of what starts, compiled once: else each of the starts below compiles it anew."""
    copy = server.checkout(tmp_path_factory.mktemp("project"))
    compileall.compile_dir(copy, quiet=1)
    return copy


@pytest.fixture
def checkout(compiled, tmp_path):
    """A fresh copy of the project, without a .env file or secrets of its own."""
    return shutil.copytree(compiled, tmp_path / "checkout", copy_function=os.link)


def manage(checkout: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return run(checkout, "manage.py", *arguments, **variables)


def run(checkout: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | variables
    return subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def setting(checkout: Path, name: str, **variables: str) -> str:
    done = run(checkout, "-c", f"from backend import settings; print(repr(settings.{name}))", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_everything_that_is_missing_is_named_at_once(checkout, environment):
    done = manage(checkout, "check", DJANGO_ENVIRONMENT=environment)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    named = re.findall(r"^ +(\w+) is not set", done.stderr, re.MULTILINE)
    assert named == sorted(REQUIRED)


def test_an_empty_value_is_a_missing_one(checkout):
    done = manage(checkout, "check", **PRODUCTION | dict.fromkeys(REQUIRED, ""))

    assert (done.returncode, re.findall(r"(\w+) is not set", done.stderr)) == (1, sorted(REQUIRED))


def test_production_starts_with_what_it_needs(checkout):
    done = manage(checkout, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert done.returncode == 0, done.stderr


WRONG = [
    ("DJANGO_ENVIRONMENT", CANARY),
    ("DEBUG", CANARY),
    ("SECRET_KEY", CANARY),
    ("JWT_SIGNING_KEY", CANARY),
    ("ALLOWED_HOSTS", f"https://{CANARY}"),
    ("ALLOWED_HOSTS", f"{CANARY},*"),
    ("CSRF_TRUSTED_ORIGINS", CANARY),
    ("CORS_ALLOWED_ORIGINS", f"https://{CANARY}/path"),
    ("CORS_ALLOWED_ORIGINS", "https://*.canary-7261.com"),
    ("PUBLIC_BASE_URL", CANARY),
    ("PUBLIC_BASE_URL", f"ftp://{CANARY}"),
    ("LOG_LEVEL", CANARY),
    ("FRONTEND_URL", CANARY),
    ("EMAIL_DIGEST_HOUR_UTC", "24"),
    ("EMAIL_DIGEST_ENABLED", CANARY),
    ("LOG_CONSOLE_FORMAT", CANARY),
    ("LOG_ROTATION", CANARY),
    ("LOG_SKIP_PATHS", CANARY),
    ("SLOW_REQUEST_THRESHOLD", CANARY),
    ("SLOW_QUERY_THRESHOLD", "-1"),
    ("PUBLIC_BASE_URL", f"https://{CANARY}:99999"),
    ("REDIS_URL", f"redis://{CANARY}:port"),
    ("CELERY_BROKER_URL", f"https://{CANARY}"),
    ("WEB_BIND", f"{CANARY}:99999"),
    ("DEFAULT_FROM_EMAIL", CANARY),
    ("TRUSTED_PROXY_COUNT", CANARY),
    ("TRUSTED_PROXY_COUNT", "-1"),
    ("DATABASE_URL", CANARY),
    ("DATABASE_URL", f"mysql://user:{CANARY}@host/name"),
    ("DATABASE_URL", f"postgres://user:{CANARY}@host:port/name"),
    ("DB_POOL_MIN_SIZE", CANARY),
    ("DB_POOL_MAX_SIZE", "0"),
    ("DB_POOL_TIMEOUT", "1.5"),
    ("REDIS_URL", f"http://{CANARY}"),
    ("SENTRY_TRACES_SAMPLE_RATE", "2"),
    ("SENTRY_TRACES_SAMPLE_RATE", "nan"),
    ("DJANGO_ADMINS", CANARY),
    ("DJANGO_ADMINS", f"Admin:{CANARY}"),
    ("EMAIL_PORT", "99999"),
    ("EMAIL_USE_TLS", CANARY),
    ("EMAIL_TIMEOUT", CANARY),
    ("SECURE_SSL_REDIRECT", CANARY),
    ("SECURE_HSTS_SECONDS", "1e3"),
    ("WEB_BIND", CANARY),
    ("WEB_CONCURRENCY", CANARY),
    ("WEB_THREADS", "0"),
    ("WEB_TIMEOUT", "0"),
]


def starts() -> list[dict[str, str]]:
    """The values above in as few starts as give each variable one value at a time."""
    found: list[dict[str, str]] = []
    for name, value in WRONG:
        start = next((start for start in found if name not in start), None)
        if start is None:
            found.append(start := {})
        start[name] = value
    return found


@pytest.mark.parametrize("wrong", starts(), ids=lambda wrong: f"{len(wrong)} at once")
def test_values_that_cannot_be_meant_are_named_and_not_shown(checkout, wrong):
    done = manage(checkout, "check", **PRODUCTION | wrong)

    assert done.returncode == 1
    assert re.findall(r"^ +(\w+) must be ", done.stderr, re.MULTILINE) == sorted(wrong)
    assert CANARY not in done.stderr + done.stdout


def test_several_wrong_and_missing_values_are_told_together(checkout):
    done = manage(checkout, "check", DJANGO_ENVIRONMENT="staging", WEB_THREADS="x", DEBUG="x")

    named = re.findall(r"^ +(\w+) (?:must|is)", done.stderr, re.MULTILINE)
    assert named == sorted([*REQUIRED, "WEB_THREADS", "DEBUG"])


def test_gunicorn_says_the_same_and_does_not_start(checkout):
    command = ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "backend.wsgi:application"]

    done = run(checkout, *command, DJANGO_ENVIRONMENT="production", WEB_THREADS="x")

    assert done.returncode != 0
    assert "WEB_THREADS must be a whole number from 1 to 256." in done.stderr
    assert "SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DEBUG": "on"}, "DEBUG must be off in production."),
        ({"JWT_SIGNING_KEY": REQUIRED["SECRET_KEY"]}, "JWT_SIGNING_KEY must be another value than SECRET_KEY."),
        ({"DB_POOL_MIN_SIZE": "9"}, "DB_POOL_MIN_SIZE must be at most DB_POOL_MAX_SIZE."),
    ],
)
def test_values_that_do_not_go_together_stop_the_start(checkout, variables, sentence):
    done = manage(checkout, "check", **PRODUCTION | variables)

    assert done.returncode == 1
    assert sentence in done.stderr


def test_mail_by_another_way_needs_no_host(checkout):
    backend = {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_HOST": ""}

    assert manage(checkout, "check", **PRODUCTION | backend).returncode == 0


def test_the_block_of_the_specification_works_as_written(checkout):
    (checkout / ".env").write_text(
        "# Core settings\nDJANGO_ENVIRONMENT=production\nDEBUG=False\nAPP_VERSION=1.0.0\n\n# Sentry\n"
        "SENTRY_DSN=https://your-sentry-dsn@sentry.io/project-id\nSENTRY_TRACES_SAMPLE_RATE=0.1\n\n"
        "# Performance thresholds\nSLOW_REQUEST_THRESHOLD=1000   # milliseconds\n"
        "SLOW_QUERY_THRESHOLD=100      # milliseconds\n"
        "WEB_TIMEOUT=20   # seconds\n\n"
        "# Admin notifications\nDJANGO_ADMINS=Admin:admin@example.com,Tech:tech@example.com\n"
    )

    people = [("Admin", "admin@example.com"), ("Tech", "tech@example.com")]
    assert setting(checkout, "ADMINS", **REQUIRED) == repr(people)
    assert setting(checkout, "WEB_TIMEOUT", **REQUIRED) == "20"
    done = manage(checkout, "check", **REQUIRED)
    assert done.returncode == 0
    assert done.stderr.splitlines().count("SENTRY_DSN cannot be parsed; error tracking is off.") == 1
    assert "(backend.W001)" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("APP_VERSION=2.0", "2.0"),
        ("APP_VERSION=2.0   # a comment", "2.0"),
        ("APP_VERSION=2.0#beta", "2.0#beta"),
        ("APP_VERSION='2.0 # kept'", "2.0 # kept"),
        ('APP_VERSION="2.0 # kept"   # dropped', "2.0 # kept"),
        ("export APP_VERSION=2.0 ", "2.0"),
        ("APP_VERSION=$2.0", "$2.0"),
        ("APP_VERSION=   # nothing", "1.0.0"),
        ("APP_VERSION=", "1.0.0"),
    ],
)
def test_a_line_of_the_env_file_ends_before_blanks_and_comments(checkout, line, value):
    (checkout / ".env").write_text(f"{line}\n")

    assert setting(checkout, "APP_VERSION") == repr(value)


def test_the_real_environment_wins_over_the_file(checkout):
    (checkout / ".env").write_text("APP_VERSION=2.0\nWEB_THREADS=7\n")

    assert setting(checkout, "APP_VERSION", APP_VERSION="3.0") == "'3.0'"
    assert setting(checkout, "WEB_THREADS", APP_VERSION="3.0") == "7"


def test_tests_do_not_read_the_file(checkout):
    (checkout / ".env").write_text("DATABASE_URL=postgres://cosmo@production/cosmo\n")

    assert "sqlite3" in setting(checkout, "DATABASES", DJANGO_ENVIRONMENT="test")


def test_processes_that_start_together_in_a_fresh_checkout_agree_on_its_secrets(checkout):
    names = "(settings.SECRET_KEY, settings.JWT_SIGNING_KEY)"
    code = f"from backend import settings; print({names})"
    with ThreadPoolExecutor(4) as pool:
        answers = {done.stdout for done in pool.map(lambda _: run(checkout, "-c", code), range(4))}

    assert len(answers) == 1
    first, second = re.findall(r"'([^']{50,})'", answers.pop())
    assert first != second
    secrets = checkout / ".development-secrets"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert len(list(checkout.glob(".development-secrets*"))) == 1


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_demo_data_stays_out_of_production(checkout, environment):
    done = manage(checkout, "seed_demo", **PRODUCTION | {"DJANGO_ENVIRONMENT": environment})

    assert done.returncode == 1
    assert done.stderr == f"CommandError: Demo data is for development; DJANGO_ENVIRONMENT is {environment}.\n"


def test_the_example_file_lists_what_the_settings_read():
    example = (PROJECT / "env.production.example").read_text()
    source = (PROJECT / "backend" / "settings.py").read_text()

    listed = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    read = set(re.findall(r'env\.(?!require)\w+\(\s*"([A-Z_]+)"', source))

    assert len(listed) == len(set(listed))
    assert set(listed) == read


def test_the_example_file_with_its_blanks_names_them_and_starts_when_they_are_filled(checkout):
    example = (PROJECT / "env.production.example").read_text()
    (checkout / ".env").write_text(example)
    blank = [name for name in REQUIRED if f"\n{name}=\n" in example]

    left_blank = manage(checkout, "check")
    filled = manage(checkout, "check", LOGS_DIR=str(checkout), **{name: REQUIRED[name] for name in blank})

    assert left_blank.returncode == 1
    assert re.findall(r"(\w+) is not set", left_blank.stderr) == sorted(blank)
    assert filled.returncode == 0, filled.stderr


def test_the_example_file_means_the_same_to_programs_that_know_no_comments_behind_values(checkout):
    example = (PROJECT / "env.production.example").read_text()
    raw = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))

    raw |= {name: REQUIRED[name] for name in REQUIRED if not raw[name]}
    done = manage(checkout, "check", **raw | {"LOGS_DIR": str(checkout)})

    assert done.returncode == 0, done.stderr
