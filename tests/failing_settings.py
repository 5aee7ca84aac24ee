"""Settings of Cosmo with URLs that fail on demand, for test servers."""

from backend.settings import *  # noqa: F403

ROOT_URLCONF = "tests.failing_urls"
