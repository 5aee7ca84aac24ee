"""`manage.py seed_demo`: fill an empty database with the demo portfolio and print its accounts."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from api.common.errors import Conflict
from api.demo import seeding
from api.demo.portfolio import USERS
from api.mail import delivery_thread
from backend.files.private import open_private


class Command(BaseCommand):
    help = "Fill an empty database with a demo portfolio, and print the URLs and accounts. Not for production."

    def add_arguments(self, parser: CommandParser) -> None:
        default = Path(settings.BASE_DIR) / ".demo-accounts"
        parser.add_argument("--accounts", type=Path, default=default, help="file for the passwords")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seeding.require_demo_allowed()
        except Conflict as error:
            raise CommandError(str(error)) from None
        accounts: Path = options["accounts"]
        if seeding.is_empty():
            self.stdout.write("Creating the demo portfolio ...")
            logging.disable(logging.INFO)  # otherwise a thousand log lines hide the accounts
            with transaction.atomic():  # without the file of passwords, no users
                _store_accounts(accounts, seeding.seed())
            delivery_thread.wait_until_delivered()
            logging.disable(logging.NOTSET)
        self._print_urls()
        if accounts.exists():
            self._print_accounts(accounts)

    def _print_urls(self) -> None:
        base = f"http://{settings.WEB_BIND}"
        self.stdout.write(f"\n  Manager site  {base}/manager/\n  Admin site    {base}/admin/\n")
        self.stdout.write(f"  API docs      {base}/api/docs/\n  Health check  {base}/api/health/\n\n")

    def _print_accounts(self, accounts: Path) -> None:
        passwords = dict(line.split() for line in accounts.read_text().splitlines())
        self.stdout.write(f"  Demo accounts (created on this computer, stored in {accounts.name}):\n\n")
        for username, _, _, role, _ in USERS:
            if username in passwords:
                self.stdout.write(f"  {role:<10} {username:<16} {passwords[username]}")
        self.stdout.write("")


def _store_accounts(path: Path, passwords: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    with open_private(path, "x") as file:
        file.writelines(f"{username} {password}\n" for username, password in passwords.items())
