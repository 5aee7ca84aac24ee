"""Cosmo's settings with log files so small that they rotate all the time."""

from backend.settings import *  # noqa: F403
from backend.settings import LOGGING

for handler in LOGGING["handlers"].values():
    if "max_bytes" in handler:
        handler.update(max_bytes=20_000, backup_count=2_000)
