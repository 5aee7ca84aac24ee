"""Distinguish database outages from errors in our own statements."""

from django.db import InterfaceError, InternalError, OperationalError

RETRY_AFTER = 5  # seconds, for clients
_READ_ONLY = "25006"  # SQLSTATE: PostgreSQL is a standby or read-only
_SQLITE_OUTAGES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY")


def is_outage(exc: BaseException | None) -> bool:
    """Return whether the database is temporarily unusable, as opposed to an invalid statement."""
    if isinstance(exc, InternalError):
        return getattr(exc.__cause__, "sqlstate", None) == _READ_ONLY
    if not isinstance(exc, OperationalError | InterfaceError):
        return False
    sqlite_error = getattr(exc.__cause__, "sqlite_errorname", None)
    return sqlite_error is None or sqlite_error.startswith(_SQLITE_OUTAGES)
