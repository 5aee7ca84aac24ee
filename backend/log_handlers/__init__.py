"""Handlers that never raise into the code that logs, never stop it for long, and count what they had to drop."""

from backend.log_handlers.console import ConsoleHandler
from backend.log_handlers.files import SharedFileHandler
from backend.log_handlers.guard import GuardedHandler, drop_listeners
from backend.log_handlers.standard_error import print_error

__all__ = ["ConsoleHandler", "GuardedHandler", "SharedFileHandler", "drop_listeners", "print_error"]
