"""`manage.py check_env`: validate a .env file without starting anything."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backend.environment.variables import PROJECT


class Command(BaseCommand):
    help = (
        "Validate a .env file: report each problem by line number or variable, or name the environment it is valid for."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="?", type=Path, default=PROJECT / ".env", help="the file to validate (default: .env)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # In its own process: this one may already run with other values.
        command = [sys.executable, "-m", "backend.environment.trial", str(options["file"].absolute())]
        trial = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603
        if trial.returncode:
            raise CommandError(trial.stderr.strip(), returncode=trial.returncode)
        self.stderr.write(trial.stderr, ending="")
        self.stdout.write(trial.stdout, ending="")

    def run_without_settings(self, argv: list[str]) -> None:
        """Run like run_from_argv, which would load the settings to close database connections."""
        options = vars(self.create_parser(argv[0], argv[1]).parse_args(argv[2:]))
        try:
            self.handle(**options)
        except CommandError as problem:
            self.stderr.write(str(problem))
            sys.exit(problem.returncode)
