#!/usr/bin/env python3
"""Django's command line for Cosmo."""

import os
import sys

from django.core.management import execute_from_command_line

from backend.environment.variables import exit_on_invalid_settings
from backend.management.commands import check_env


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
    if sys.argv[1:2] == ["check_env"]:
        check_env.Command().run_without_settings(sys.argv)  # Django would load the current .env first
        return
    with exit_on_invalid_settings():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
