"""Django's `migrate` without the statement timeout: an index on a large table may take long.

The lock timeout stays, because all requests for a table queue behind a migration that waits for it. If the migration
does not get the lock within two seconds, it fails and changes nothing; run it again.
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
        # Not a pooled connection: those time out after eleven seconds.
        default_options = connection.settings_dict["OPTIONS"]
        migration_options = default_options | {"pool": None, "options": f"-c lock_timeout={LOCK_TIMEOUT}s"}
        connection.close()
        connection.settings_dict["OPTIONS"] = migration_options
        try:
            super().handle(*args, **options)
        finally:
            connection.close()
            connection.settings_dict["OPTIONS"] = default_options
