"""System checks."""

from django.core.checks import run_checks
from django.db import connection


def test_sqlite_in_production_is_a_warning():
    found = [message for message in run_checks(include_deployment_checks=True) if message.id == "backend.W002"]

    assert len(found) == (connection.vendor == "sqlite")
    assert all("DATABASE_URL" in (message.hint or "") for message in found)
