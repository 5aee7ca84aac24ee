#!/usr/bin/env python3
"""Django's command line for Cosmo."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as problem:
        # The sentences for the operator are the message; a traceback would bury them.
        sys.exit(f"Cosmo does not start: {problem}")


if __name__ == "__main__":
    main()
