"""`manage.py check_env` tries a file and leaves everything as it is."""

import os

import pytest
from django.core.management import CommandError, call_command

from tests.checkouts import CANARY, PRODUCTION, REQUIRED, manage


def lines(**variables: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def private(path, text: str):
    path.write_text(text)
    path.chmod(0o600)
    return path


def files(folder) -> dict[str, int]:
    found = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.stat().st_mtime_ns for path in found if path.is_file()}


def test_a_good_file_is_fine_for_its_environment_although_the_present_one_is_broken(checkout, tmp_path):
    (checkout / ".env").write_text("DATABASE_URL: none\n")
    file = private(tmp_path / "new.env", lines(**PRODUCTION))
    before = files(checkout)

    done = manage(checkout, "check_env", str(file))

    assert done.returncode == 0, done.stderr
    assert done.stdout == "new.env is fine. DJANGO_ENVIRONMENT is production, DEBUG is off.\n"
    assert files(checkout) == before


def test_all_problems_are_named_without_a_value(checkout):
    wrong = {"WEB_THREADS": CANARY, "DATABASE_URL": f"postgres://cosmo:{CANARY}/x@127.0.0.1/cosmo"}
    (checkout / ".env").write_text(lines(**PRODUCTION | wrong) + f"{CANARY}\n")

    done = manage(checkout, "check_env")

    assert done.returncode == 1
    assert f".env, line {len(PRODUCTION) + 2} is neither" in done.stderr
    assert "WEB_THREADS must be" in done.stderr
    assert "DATABASE_URL must be" in done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_unknown_names_are_warned_about_with_the_nearest_known_one(checkout):
    unknown = {"SECRETKEY": CANARY, "ALLOWED_HOST": "x", "WEBTHREADS": "8", "POSTGRES_PASSWORD": CANARY}
    (checkout / ".env").write_text(lines(**PRODUCTION | unknown, OTEL_SERVICE_NAME="cosmo"))

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


def test_a_missing_variable_is_reported_beside_the_name_that_was_meant_for_it(checkout):
    without = {name: value for name, value in PRODUCTION.items() if name != "ALLOWED_HOSTS"}
    (checkout / ".env").write_text(lines(**without, ALLOWED_HOST="x"))

    done = manage(checkout, "check_env")

    assert done.returncode == 1
    assert "ALLOWED_HOSTS is not set" in done.stderr
    assert "Cosmo does not read ALLOWED_HOST; is ALLOWED_HOSTS meant?" in done.stderr


def test_a_value_that_the_environment_covers_is_checked_all_the_same(checkout):
    (checkout / ".env").write_text(lines(**PRODUCTION | {"WEB_THREADS": CANARY}))

    done = manage(checkout, "check_env", WEB_THREADS="4", DJANGO_ENVIRONMENT="test")

    assert done.returncode == 1
    assert "WEB_THREADS must be" in done.stderr
    assert "WEB_THREADS is also set in this shell, which overrides the file." in done.stderr


def test_what_the_file_lacks_comes_from_the_environment(checkout):
    (checkout / ".env").write_text("DJANGO_ENVIRONMENT=staging\n")

    assert manage(checkout, "check_env").returncode == 1
    assert manage(checkout, "check_env", **REQUIRED).returncode == 0


def test_a_file_for_development_says_so_and_makes_no_secrets(checkout):
    (checkout / ".env").write_text("APP_VERSION=2.0\n")

    done = manage(checkout, "check_env")

    assert done.stdout == ".env is fine. DJANGO_ENVIRONMENT is development, DEBUG is on.\n"
    assert not (checkout / ".development-secrets").exists()


def test_a_missing_file_is_a_problem(checkout):
    done = manage(checkout, "check_env", "missing.env")

    assert (done.returncode, done.stderr) == (1, "missing.env does not exist.\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_is_warned_about_a_file_that_only_root_can_read(checkout):
    private(checkout / ".env", lines(**PRODUCTION))

    done = manage(checkout, "check_env")

    assert "Only root can read .env" in done.stderr


def test_a_file_that_everybody_can_read_is_warned_about(checkout):
    (checkout / ".env").write_text(lines(**PRODUCTION))
    (checkout / ".env").chmod(0o644)

    assert "Every user of this machine can read or write .env" in manage(checkout, "check_env").stderr


def test_the_command_leaves_the_environment_of_its_caller(tmp_path, capsys):
    file = private(tmp_path / "other.env", lines(**PRODUCTION | {"APP_VERSION": "9.9"}))
    before = dict(os.environ)

    call_command("check_env", str(file))
    with pytest.raises(CommandError, match=r"other\.env, line 1 is neither"):
        call_command("check_env", str(private(file, "APP_VERSION\n")))

    assert "production" in capsys.readouterr().out
    assert dict(os.environ) == before
