"""`manage.py check_env` checks a file and changes nothing."""

import os

import pytest
from django.core.management import CommandError, call_command

from tests.checkouts import CANARY, PRODUCTION, REQUIRED, manage


def lines_of(**variables: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def write_private(path, text: str):
    path.write_text(text)
    path.chmod(0o600)
    return path


def files(folder) -> dict[str, int]:
    paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in paths if path.is_file()}


def test_valid_file_is_accepted_when_the_current_one_is_invalid(checkout, tmp_path):
    (checkout / ".env").write_text("DATABASE_URL: none\n")
    file = write_private(tmp_path / "new.env", lines_of(**PRODUCTION))
    before = files(checkout)

    done = manage(checkout, "check_env", str(file))

    assert done.returncode == 0, done.stderr
    assert done.stdout == "new.env is fine. DJANGO_ENVIRONMENT is production, DEBUG is off.\n"
    assert files(checkout) == before


def test_all_problems_are_named_without_values(checkout):
    invalid = {"WEB_THREADS": CANARY, "DATABASE_URL": f"postgres://cosmo:{CANARY}/x@127.0.0.1/cosmo"}
    (checkout / ".env").write_text(lines_of(**PRODUCTION | invalid) + f"{CANARY}\n")

    done = manage(checkout, "check_env")

    assert done.returncode == 1
    assert f".env, line {len(PRODUCTION) + 2} is neither" in done.stderr
    assert "WEB_THREADS must be" in done.stderr
    assert "DATABASE_URL must be" in done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_unknown_names_cause_warnings_with_the_nearest_known_name(checkout):
    unknown = {"SECRETKEY": CANARY, "ALLOWED_HOST": "x", "WEBTHREADS": "8", "POSTGRES_PASSWORD": CANARY}
    (checkout / ".env").write_text(lines_of(**PRODUCTION | unknown, OTEL_SERVICE_NAME="cosmo"))

    done = manage(checkout, "check_env")

    assert done.returncode == 0
    for name, nearest in {
        "SECRETKEY": "SECRET_KEY",
        "ALLOWED_HOST": "ALLOWED_HOSTS",
        "WEBTHREADS": "WEB_THREADS",
    }.items():
        assert f"Cosmo does not read {name} from this file; is {nearest} meant?" in done.stderr
    assert "Cosmo does not read POSTGRES_PASSWORD from this file" in done.stderr
    assert "OTEL_SERVICE_NAME" not in done.stderr
    assert CANARY not in done.stderr


def test_missing_variable_is_reported_with_its_misspelled_name(checkout):
    without = {name: value for name, value in PRODUCTION.items() if name != "ALLOWED_HOSTS"}
    (checkout / ".env").write_text(lines_of(**without, ALLOWED_HOST="x"))

    done = manage(checkout, "check_env")

    assert done.returncode == 1
    assert "ALLOWED_HOSTS is not set" in done.stderr
    assert "Cosmo does not read ALLOWED_HOST; is ALLOWED_HOSTS meant?" in done.stderr


def test_value_in_the_file_is_checked_when_the_environment_overrides_it(checkout):
    (checkout / ".env").write_text(lines_of(**PRODUCTION | {"WEB_THREADS": CANARY}))

    done = manage(checkout, "check_env", WEB_THREADS="4", DJANGO_ENVIRONMENT="test")

    assert done.returncode == 1
    assert "WEB_THREADS must be" in done.stderr
    assert "WEB_THREADS is also set in this shell, which overrides the file." in done.stderr


def test_missing_values_come_from_the_environment(checkout):
    (checkout / ".env").write_text("DJANGO_ENVIRONMENT=staging\n")

    assert manage(checkout, "check_env").returncode == 1
    assert manage(checkout, "check_env", **REQUIRED).returncode == 0


def test_development_file_is_reported_and_creates_no_secrets(checkout):
    (checkout / ".env").write_text("APP_VERSION=2.0\n")

    done = manage(checkout, "check_env")

    assert done.stdout == ".env is fine. DJANGO_ENVIRONMENT is development, DEBUG is on.\n"
    assert not (checkout / ".development-secrets").exists()


def test_missing_file_is_reported(checkout):
    done = manage(checkout, "check_env", "missing.env")

    assert (done.returncode, done.stderr) == (1, "missing.env does not exist.\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_is_warned_when_only_root_can_read_the_file(checkout):
    write_private(checkout / ".env", lines_of(**PRODUCTION))

    done = manage(checkout, "check_env")

    assert "Only root can read .env" in done.stderr


def test_warning_is_printed_when_every_user_can_read_the_file(checkout):
    (checkout / ".env").write_text(lines_of(**PRODUCTION))
    (checkout / ".env").chmod(0o644)

    assert "Every user of this machine can read or write .env" in manage(checkout, "check_env").stderr


def test_command_leaves_the_caller_environment_unchanged(tmp_path, capsys):
    file = write_private(tmp_path / "other.env", lines_of(**PRODUCTION | {"APP_VERSION": "9.9"}))
    before = dict(os.environ)

    call_command("check_env", str(file))
    with pytest.raises(CommandError, match=r"other\.env, line 1 is neither"):
        call_command("check_env", str(write_private(file, "APP_VERSION\n")))

    assert "production" in capsys.readouterr().out
    assert dict(os.environ) == before
