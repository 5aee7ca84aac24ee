"""The former name of `manage.py cleanup`, for crontabs and timers of the release before."""

from typing import Any

from api.management.commands import cleanup


class Command(cleanup.Command):
    help = "The former name of cleanup. It goes with the next release."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stderr.write("This command is now called cleanup; change your crontab or timer.")
        super().handle(*args, **options)
