"""`manage.py seed_demo`: a demo portfolio in an empty database, and how to sign in."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from api.common.errors import Conflict
from api.demo import seeding
from api.demo.portfolio import PEOPLE
from api.mail import delivery_thread
from backend.files.private import open_private


class Command(BaseCommand):
    help = "Fill an empty database with a demo portfolio; print the addresses and the accounts. Not in production."

    def add_arguments(self, parser: CommandParser) -> None:
        default = Path(settings.BASE_DIR) / ".demo-accounts"
        parser.add_argument("--accounts", type=Path, default=default, help="where the passwords are kept")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seeding.require_playground()
        except Conflict as refusal:
            raise CommandError(str(refusal)) from None
        accounts: Path = options["accounts"]
        if seeding.is_empty():
            self.stdout.write("Making a demo portfolio ...")
            logging.disable(logging.INFO)  # a thousand events, and the mails, would bury the accounts
            with transaction.atomic():  # people nobody has the passwords of are of no use
                _keep(accounts, seeding.seed())
            delivery_thread.wait_until_delivered()
            logging.disable(logging.NOTSET)
        self._print_addresses()
        if accounts.exists():
            self._print_accounts(accounts)

    def _print_addresses(self) -> None:
        base = f"http://{settings.WEB_BIND}"
        self.stdout.write(f"\n  Manager site  {base}/manager/\n  Admin site    {base}/admin/\n")
        self.stdout.write(f"  API docs      {base}/api/docs/\n  Health check  {base}/api/health/\n\n")

    def _print_accounts(self, accounts: Path) -> None:
        passwords = dict(line.split() for line in accounts.read_text().splitlines())
        self.stdout.write(f"  Demo accounts (made on this machine, kept in {accounts.name}):\n\n")
        for username, _, _, role, _ in PEOPLE:
            if username in passwords:
                self.stdout.write(f"  {role:<10} {username:<16} {passwords[username]}")
        self.stdout.write("")


def _keep(path: Path, passwords: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    with open_private(path, "x") as file:
        file.writelines(f"{username} {password}\n" for username, password in passwords.items())
