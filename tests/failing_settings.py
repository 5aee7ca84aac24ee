"""Cosmo with addresses that fail on demand, for real servers in tests."""

from backend.settings import *  # noqa: F403

ROOT_URLCONF = "tests.failing_urls"
