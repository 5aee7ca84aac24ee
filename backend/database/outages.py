"""A database that is away, as opposed to a fault of ours."""

from django.db import InterfaceError, InternalError, OperationalError

RETRY_AFTER = 5  # seconds, for clients
_READ_ONLY = "25006"  # SQLSTATE: PostgreSQL is a standby, or was told to refuse writes
_SQLITE_OUTAGES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY")


def is_outage(exc: BaseException | None) -> bool:
    """Whether the database cannot be used for now, as opposed to a statement that is wrong."""
    if isinstance(exc, InternalError):
        return getattr(exc.__cause__, "sqlstate", None) == _READ_ONLY
    if not isinstance(exc, OperationalError | InterfaceError):
        return False
    sqlite_error = getattr(exc.__cause__, "sqlite_errorname", None)
    return sqlite_error is None or sqlite_error.startswith(_SQLITE_OUTAGES)
