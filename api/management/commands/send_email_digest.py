"""`manage.py send_email_digest`: queue and deliver the digests of a day."""

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

BAR_WIDTH = 30  # characters


class Command(BaseCommand):
    help = "Send the daily digest, once per user and UTC date. The exit status is 1 if an email failed or may be lost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, metavar="ID", help="send to this user only")
        parser.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="send the digest of this UTC date")
        parser.add_argument("--dry-run", action="store_true", help="count the digests without sending them")
        parser.add_argument("--force", action="store_true", help="send again to users who already received it")

    def handle(self, *args: Any, **options: Any) -> None:
        day, user_id = options["date"], options["user"]
        if user_id is not None and not User.objects.filter(pk=user_id).exists():
            raise CommandError("There is no such user.")
        is_full_run = not options["dry_run"] and user_id is None and day is None
        with track_job_run("send_email_digest", is_counted=is_full_run):
            results = service.send_digests(
                day=day,
                user_id=user_id,
                is_forced=options["force"],
                is_dry_run=options["dry_run"],
                progress=self._progress_bar(service.count_recipients(user_id)) if self.stderr.isatty() else None,
            )
        summary = "{queued} queued, {already_sent} already sent, {empty} empty, {failed} failed".format(**results)
        if options["dry_run"]:
            summary = f"Dry run: {summary}"
        else:
            # Deliver here as well, so that the summary reports sent emails and not queued ones.
            delivery_thread.wait_until_delivered()
            deliver_due()
            states = service.count_by_mail_state(day, user_id)
            results["failed"] += states["failed"] + states["unknown"]
            counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            summary += f"; of this date: {counts or 'none'}"
        self.stdout.write(f"{summary}.")
        if results["failed"]:
            sys.exit(1)

    def _progress_bar(self, total: int) -> service.Progress:
        def show(done: int) -> None:
            filled = BAR_WIDTH * done // max(total, 1)
            ending = "\n" if done >= total else ""
            self.stderr.write(f"\r[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done} of {total}", ending=ending)

        return show


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("write the date as YYYY-MM-DD, for example 2026-05-31") from None
