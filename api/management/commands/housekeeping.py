"""The old name of `manage.py cleanup`, for existing crontabs and timers. The next release removes it."""

from typing import Any

from api.management.commands import cleanup


class Command(cleanup.Command):
    help = "The old name of cleanup. The next release removes it."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stderr.write("This command is now called cleanup. Change your crontab or timer.")
        super().handle(*args, **options)
