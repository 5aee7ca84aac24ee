"""Settings of Cosmo without the handler that counts log records, for comparison."""

from backend.settings import *  # noqa: F403
from backend.settings import LOGGING

LOGGING["handlers"].pop("metrics")
LOGGING["root"]["handlers"].remove("metrics")
