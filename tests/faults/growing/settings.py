"""Cosmo's settings with one more application to migrate."""

from backend.settings import *  # noqa: F403
from backend.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.growing"]
