"""Django's `migrate` without the limit on the time of a statement: an index on a large table takes what it takes.

The limit on waiting for a lock stays. Whoever waits for a table makes all others wait behind him; a migration that
does not get it in two seconds fails, changes nothing, and can be tried again.
"""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from backend.database.postgres import LOCK_TIMEOUT


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql":
            super().handle(*args, **options)
            return
        # One of its own, not one of the pool, whose connections wait for eleven seconds at most.
        usual = connection.settings_dict["OPTIONS"]
        patient = usual | {"pool": None, "options": f"-c lock_timeout={LOCK_TIMEOUT}s"}
        connection.close()
        connection.settings_dict["OPTIONS"] = patient
        try:
            super().handle(*args, **options)
        finally:
            connection.close()
            connection.settings_dict["OPTIONS"] = usual
