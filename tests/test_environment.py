"""Startup fails if environment variables are invalid or missing. The error names all of them and shows no value."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.checkouts import CANARY, PRODUCTION, PROJECT, REQUIRED, manage, run, setting


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_all_missing_variables_are_named_at_once(checkout, environment):
    done = manage(checkout, "check", DJANGO_ENVIRONMENT=environment)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    named = re.findall(r"^ +(\w+) is not set", done.stderr, re.MULTILINE)
    assert named == sorted(REQUIRED)


def test_empty_value_counts_as_missing(checkout):
    done = manage(checkout, "check", **PRODUCTION | dict.fromkeys(REQUIRED, ""))

    assert (done.returncode, re.findall(r"(\w+) is not set", done.stderr)) == (1, sorted(REQUIRED))


def test_production_starts_with_the_required_variables(checkout):
    done = manage(checkout, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert done.returncode == 0, done.stderr


INVALID = [
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
    ("ALLOWED_HOSTS", ","),
    ("CSRF_TRUSTED_ORIGINS", ","),
    ("CORS_ALLOWED_ORIGINS", ","),
    ("LOG_SKIP_PATHS", ","),
    ("LOG_SKIP_PATHS", "/"),
    ("DJANGO_ADMINS", ","),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", f"postgres://user:{CANARY}/x@host/name"),
    ("REDIS_URL", f"redis://user:12/{CANARY}@host/0"),
    ("CELERY_BROKER_URL", f"amqp://user:12/{CANARY}@host//"),
    ("APP_VERSION", f"{CANARY}\x1b[31m"),
    ("EMAIL_BACKEND", f"django.core.mail.backends.{CANARY}.EmailBackend"),
    ("EMAIL_BACKEND", "no_such_package.EmailBackend"),
    ("EMAIL_HOST", f"smtp://{CANARY}"),
    ("EMAIL_HOST_PASSWORD", f"{CANARY}\u20ac"),
    ("EMAIL_FILE_PATH", f"~{CANARY}/mails"),
    ("LOGS_DIR", f"~{CANARY}/logs"),
    ("DRAIN_FILE", "/tmp"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:{CANARY}@host:4318"),
    ("METRICS_TOKEN", f"{CANARY} {CANARY}"),
    ("HEALTH_TOKEN", f"{CANARY}\n"),
    ("WEB_BIND", f"unix:{CANARY}"),
]


def startups() -> list[dict[str, str]]:
    """Return the invalid values in as few startups as possible, with one value per variable in each."""
    groups: list[dict[str, str]] = []
    for name, value in INVALID:
        group = next((group for group in groups if name not in group), None)
        if group is None:
            groups.append(group := {})
        group[name] = value
    return groups


@pytest.mark.parametrize("invalid", startups(), ids=lambda invalid: f"{len(invalid)} values")
def test_invalid_values_are_named_but_not_shown(checkout, invalid):
    done = manage(checkout, "check", **PRODUCTION | invalid)

    assert done.returncode == 1
    assert re.findall(r"^ +(\w+) must be ", done.stderr, re.MULTILINE) == sorted(invalid)
    assert CANARY not in done.stderr + done.stdout


def test_invalid_and_missing_values_are_reported_together(checkout):
    done = manage(checkout, "check", DJANGO_ENVIRONMENT="staging", WEB_THREADS="x", DEBUG="x")

    named = re.findall(r"^ +(\w+) (?:must|is)", done.stderr, re.MULTILINE)
    assert named == sorted([*REQUIRED, "WEB_THREADS", "DEBUG"])


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "migrate"),
        ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "backend.wsgi:application"),
        ("-m", "celery", "-A", "backend", "worker"),
        ("-c", "import backend.wsgi"),
    ],
    ids=["manage", "gunicorn", "celery", "wsgi"],
)
def test_entry_point_prints_no_traceback_when_the_environment_is_invalid(checkout, command):
    (checkout / ".env").write_text(f"DJANGO_ENVIRONMENT=production\n{CANARY}\nWEB_THREADS={CANARY}\n")

    done = run(checkout, *command)

    assert done.returncode != 0
    assert ".env, line 2 is neither" in done.stderr
    assert "WEB_THREADS must be a whole number from 1 to 256." in done.stderr
    assert "SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_worker_stops_gunicorn_when_the_environment_is_invalid(checkout):
    done = run(checkout, "-c", "import backend.wsgi", DJANGO_ENVIRONMENT="production")

    assert done.returncode == 3  # gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR


def test_email_backend_of_another_package_needs_its_class(checkout):
    (checkout / "mailer.py").write_text("from django.conf import settings\nHOST = settings.EMAIL_HOST\n")

    done = manage(checkout, "check", EMAIL_BACKEND="mailer.EmailBackend")

    assert done.returncode == 1
    assert done.stderr == "Cosmo does not start: EMAIL_BACKEND must be the class of an email backend.\n"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"])
def test_error_explains_how_to_encode_a_password_in_a_url(checkout, name):
    done = manage(checkout, "check", **PRODUCTION | {name: f"redis://user:{CANARY}/x@host/0"})

    assert f"{name} must be" in done.stderr
    assert "/ as %2F, @ as %40, # as %23, ? as %3F and % as %25" in done.stderr


def test_tilde_is_expanded_to_the_home_folder(checkout, tmp_path):
    home = {"HOME": str(tmp_path)}

    for name in ("LOGS_DIR", "EMAIL_FILE_PATH", "DRAIN_FILE"):
        assert setting(checkout, name, **home | {name: "~/x"}) == repr(tmp_path / "x")
    assert setting(checkout, "WEB_BIND", **home, WEB_BIND="unix:~/x") == repr(f"unix:{tmp_path}/x")
    assert setting(checkout, "DATABASE['NAME']", **home, DATABASE_URL="sqlite:///~/x") == repr(f"{tmp_path}/x")


def test_quoted_blanks_are_kept(checkout):
    (checkout / ".env").write_text("EMAIL_HOST_USER=' cosmo'\nEMAIL_HOST_PASSWORD=\"  a b  \"\n")

    assert setting(checkout, "EMAIL_HOST_USER") == "' cosmo'"
    assert setting(checkout, "EMAIL_HOST_PASSWORD") == "'  a b  '"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DEBUG": "on"}, "DEBUG must be off in production."),
        ({"JWT_SIGNING_KEY": REQUIRED["SECRET_KEY"]}, "JWT_SIGNING_KEY must be another value than SECRET_KEY."),
        ({"DB_POOL_MIN_SIZE": "9"}, "DB_POOL_MIN_SIZE must be at most DB_POOL_MAX_SIZE."),
        ({"EMAIL_HOST_USER": "cosmo"}, "EMAIL_HOST_USER and EMAIL_HOST_PASSWORD must be set together"),
        ({"DATABASE_URL": "sqlite://:memory:"}, "DATABASE_URL must name a server or a file"),
        ({"DJANGO_ENVIRONMENT": ""}, "DJANGO_ENVIRONMENT must be one of development, test, staging, production."),
    ],
)
def test_startup_fails_when_values_contradict_each_other(checkout, variables, sentence):
    done = manage(checkout, "check", **PRODUCTION | variables)

    assert done.returncode == 1
    assert sentence in done.stderr


def test_other_email_backends_need_no_host(checkout):
    backend = {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_HOST": ""}

    assert manage(checkout, "check", **PRODUCTION | backend).returncode == 0


def test_example_of_the_specification_works_as_written(checkout):
    (checkout / ".env").write_text(
        "# Core settings\nDJANGO_ENVIRONMENT=production\nDEBUG=False\nAPP_VERSION=1.0.0\n\n# Sentry\n"
        "SENTRY_DSN=https://your-sentry-dsn@sentry.io/project-id\nSENTRY_TRACES_SAMPLE_RATE=0.1\n\n"
        "# Performance thresholds\nSLOW_REQUEST_THRESHOLD=1000   # milliseconds\n"
        "SLOW_QUERY_THRESHOLD=100      # milliseconds\n"
        "WEB_TIMEOUT=20   # seconds\n\n"
        "# Admin notifications\nDJANGO_ADMINS=Admin:admin@example.com,Tech:tech@example.com\n"
    )

    admins = [("Admin", "admin@example.com"), ("Tech", "tech@example.com")]
    assert setting(checkout, "ADMINS", **REQUIRED) == repr(admins)
    assert setting(checkout, "WEB_TIMEOUT", **REQUIRED) == "20"
    done = manage(checkout, "check", **REQUIRED)
    assert done.returncode == 0
    assert done.stderr.splitlines().count("SENTRY_DSN cannot be parsed; error tracking is off.") == 1
    assert "(backend.W001)" in done.stdout + done.stderr


def test_environment_variables_override_the_file(checkout):
    (checkout / ".env").write_text("APP_VERSION=2.0\nWEB_THREADS=7\n")

    assert setting(checkout, "APP_VERSION", APP_VERSION="3.0") == "'3.0'"
    assert setting(checkout, "WEB_THREADS", APP_VERSION="3.0") == "7"


def test_env_file_is_not_read_in_the_test_environment(checkout):
    (checkout / ".env").write_text("DATABASE_URL=postgres://cosmo@production/cosmo\n")

    assert "sqlite3" in setting(checkout, "DATABASES", DJANGO_ENVIRONMENT="test")


def test_processes_share_secrets_when_they_start_together_in_a_fresh_checkout(checkout):
    names = "(settings.SECRET_KEY, settings.JWT_SIGNING_KEY)"
    code = f"from backend import settings; print({names})"
    with ThreadPoolExecutor(4) as pool:
        outputs = {done.stdout for done in pool.map(lambda _: run(checkout, "-c", code), range(4))}

    assert len(outputs) == 1
    first, second = re.findall(r"'([^']{50,})'", outputs.pop())
    assert first != second
    secrets = checkout / ".development-secrets"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert len(list(checkout.glob(".development-secrets*"))) == 1


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_demo_data_is_rejected_in_production(checkout, environment):
    done = manage(checkout, "seed_demo", **PRODUCTION | {"DJANGO_ENVIRONMENT": environment})

    assert done.returncode == 1
    assert done.stderr == f"CommandError: Demo data is for development; DJANGO_ENVIRONMENT is {environment}.\n"


def test_example_file_lists_all_variables_of_the_settings():
    example = (PROJECT / "env.production.example").read_text()
    source = (PROJECT / "backend" / "settings.py").read_text()

    documented = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    read = set(re.findall(r'env\.(?!require)\w+\(\s*"([A-Z_]+)"', source))

    assert len(documented) == len(set(documented))
    assert set(documented) == read


def test_example_file_is_valid_when_its_blanks_are_filled(checkout):
    example = (PROJECT / "env.production.example").read_text()
    (checkout / ".env").write_text(example)
    blank = [name for name in REQUIRED if f"\n{name}=\n" in example]

    left_blank = manage(checkout, "check")
    filled = manage(checkout, "check", LOGS_DIR=str(checkout), **{name: REQUIRED[name] for name in blank})

    assert left_blank.returncode == 1
    assert re.findall(r"(\w+) is not set", left_blank.stderr) == sorted(blank)
    assert filled.returncode == 0, filled.stderr


def test_example_file_is_valid_for_parsers_without_inline_comments(checkout):
    example = (PROJECT / "env.production.example").read_text()
    raw = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))

    raw |= {name: REQUIRED[name] for name in REQUIRED if not raw[name]}
    done = manage(checkout, "check", **raw | {"LOGS_DIR": str(checkout)})

    assert done.returncode == 0, done.stderr
