"""How Cosmo runs; knows nothing of tasks or properties."""

import logging

from backend.logs.records import StructuredLogger

# Before the first logger of ours is made.
logging.setLoggerClass(StructuredLogger)
