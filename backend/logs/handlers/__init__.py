"""Log handlers that never raise, never block the calling code for long, and count dropped lines."""

from backend.logs.handlers.console import ConsoleHandler
from backend.logs.handlers.files import SharedFileHandler
from backend.logs.handlers.guard import GuardedHandler, drop_listeners
from backend.logs.handlers.standard_error import print_error

__all__ = ["ConsoleHandler", "GuardedHandler", "SharedFileHandler", "drop_listeners", "print_error"]
