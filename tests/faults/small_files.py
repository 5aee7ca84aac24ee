"""Cosmo's settings with small log files that rotate frequently."""

from backend.settings import *  # noqa: F403
from backend.settings import LOGGING

for handler in LOGGING["handlers"].values():
    if "max_bytes" in handler:
        handler.update(max_bytes=20_000, backup_count=2_000)
