"""`manage.py send_email_digest`: the digests of a day into the outbox, and out."""

import sys
from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.digests import service
from api.mail import delivery_thread
from api.mail.delivery import deliver_due
from api.operations.job_runs import track_job_run
from api.users.models import User

BAR = 30  # characters


class Command(BaseCommand):
    help = "Send the daily digest, once to each person and UTC date; exit status 1 if one failed or may be lost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, metavar="ID", help="to this person only")
        parser.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="as if it were this UTC date")
        parser.add_argument("--dry-run", action="store_true", help="count, and send nothing")
        parser.add_argument("--force", action="store_true", help="also to those who had it")

    def handle(self, *args: Any, **options: Any) -> None:
        day, user_id = options["date"], options["user"]
        if user_id is not None and not User.objects.filter(pk=user_id).exists():
            raise CommandError("There is no such user.")
        is_all = not options["dry_run"] and user_id is None and day is None
        with track_job_run("send_email_digest", is_counted=is_all):
            results = service.send_digests(
                day=day,
                user_id=user_id,
                is_forced=options["force"],
                is_dry_run=options["dry_run"],
                progress=self._bar(service.people(user_id)) if self.stderr.isatty() else None,
            )
        told = "{queued} queued, {before} had it before, {nothing} had nothing to read, {failed} failed".format(
            **results
        )
        if options["dry_run"]:
            told = f"Dry run: {told}"
        else:
            # Beside whoever else delivers: the summary is about mails that left, not about those that wait.
            delivery_thread.wait_until_delivered()
            deliver_due()
            delivered = service.delivered(day, user_id)
            results["failed"] += delivered["failed"] + delivered["unknown"]
            told += "; of this date: " + (", ".join(f"{n} {state}" for state, n in sorted(delivered.items())) or "none")
        self.stdout.write(f"{told}.")
        if results["failed"]:
            sys.exit(1)

    def _bar(self, total: int) -> service.Progress:
        def show(done: int) -> None:
            filled = BAR * done // max(total, 1)
            end = "\n" if done >= total else ""
            self.stderr.write(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done} of {total}", ending=end)

        return show


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("write a date like 2026-05-31") from None
