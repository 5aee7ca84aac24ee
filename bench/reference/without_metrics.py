"""Cosmo whose log records are not counted, to measure beside."""

from backend.settings import *  # noqa: F403
from backend.settings import LOGGING

LOGGING["handlers"].pop("metrics")
LOGGING["root"]["handlers"].remove("metrics")
