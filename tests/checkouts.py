"""Run commands in a copy of the project, each with its own environment."""

import os
import subprocess
import sys
from pathlib import Path

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
