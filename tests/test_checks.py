"""System checks."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from tests.checkouts import manage


def test_deployment_check_warns_about_sqlite():
    warnings = [message for message in run_checks(include_deployment_checks=True) if message.id == "backend.W002"]

    assert len(warnings) == (connection.vendor == "sqlite")
    assert all("DATABASE_URL" in (message.hint or "") for message in warnings)


def deployment_warnings() -> set[str]:
    return {message.id for message in run_checks(include_deployment_checks=True)}


SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("warning", "wrong", "right"),
    [
        ("backend.W006", {"METRICS_TOKEN": "x" * 19}, {"METRICS_TOKEN": "x" * 20}),
        ("backend.W006", {"HEALTH_TOKEN": "short"}, {"HEALTH_TOKEN": ""}),
        ("backend.W007", {"EMAIL_BACKEND": SMTP, "EMAIL_PORT": 465}, {"EMAIL_PORT": 587}),
        ("backend.W008", {"EMAIL_HOST": "mail.example.com", "EMAIL_HOST_PASSWORD": "x"}, {"EMAIL_USE_TLS": True}),
        ("backend.W008", {"EMAIL_HOST": "mail.example.com", "EMAIL_HOST_PASSWORD": "x"}, {"EMAIL_HOST": "127.0.0.1"}),
        ("backend.W009", {"WEB_BIND": "unix:/run/cosmo/web", "TRUSTED_PROXY_COUNT": 0}, {"TRUSTED_PROXY_COUNT": 1}),
        ("backend.W009", {"WEB_BIND": "unix:/run/cosmo/web", "TRUSTED_PROXY_COUNT": 0}, {"WEB_BIND": "127.0.0.1:8000"}),
        (
            "backend.W010",
            {"PUBLIC_BASE_URL": "http://cosmo.example.com"},
            {"PUBLIC_BASE_URL": "https://cosmo.example.com"},
        ),
        (
            "backend.W010",
            {"FRONTEND_URL": "http://app.example.com", "PUBLIC_BASE_URL": "https://a"},
            {"FRONTEND_URL": ""},
        ),
        (
            "backend.W011",
            {"PUBLIC_BASE_URL": "https://a.example.com:8443", "ALLOWED_HOSTS": ["b.example.com"]},
            {"ALLOWED_HOSTS": [".example.com"]},
        ),
    ],
)
def test_deployment_check_warns_about_harmful_values_only(settings, warning, wrong, right):
    for name, value in wrong.items():
        setattr(settings, name, value)
    assert warning in deployment_warnings()

    for name, value in right.items():
        setattr(settings, name, value)
    assert warning not in deployment_warnings()


def test_check_warns_about_misspelled_name_in_env_file_and_suggests_the_known_one(checkout):
    (checkout / ".env").write_text("DJANGO_ENVIRONMENT=development\nWEB_THREAD=8\nMY_OWN_NAME=1\n")

    done = manage(checkout, "check")

    assert done.returncode == 0
    assert ".env sets WEB_THREAD, which Cosmo does not read." in done.stderr
    assert "Is WEB_THREADS meant?" in done.stderr
    assert "MY_OWN_NAME" not in done.stderr
