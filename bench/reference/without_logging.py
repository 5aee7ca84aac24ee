"""Settings of Cosmo without its three middlewares and without logging, for comparison."""

from backend.settings import *  # noqa: F403
from backend.settings import MIDDLEWARE

OURS = ("RequestLoggingMiddleware", "SecurityHeadersMiddleware", "ErrorLoggingMiddleware")
MIDDLEWARE = [name for name in MIDDLEWARE if not name.endswith(OURS)]
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"handlers": [], "level": "CRITICAL"}}
