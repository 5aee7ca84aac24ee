"""`manage.py notify_overdue`, for cron."""

from typing import Any

from django.core.management.base import BaseCommand

from api.notifications.services import notify_overdue


class Command(BaseCommand):
    help = "Tell people of tasks that became overdue, once of each."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{notify_overdue()} tasks became overdue.")
