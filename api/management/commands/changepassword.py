"""`manage.py changepassword`: Django's command, with the sessions ended and the change in the audit trail."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.accounts.services import admin_set_password
from api.common.errors import Invalid
from api.users.selectors import find_login

TRIES = 3


class Command(BaseCommand):
    help = "Set a user's password; every session and token of his ends."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_login(options["username"])
        if user is None:
            raise CommandError("There is no such user.")
        for _ in range(TRIES):
            password = getpass.getpass(f"New password for {user.username}: ")
            if not password:
                break
            if password != getpass.getpass("Again: "):
                self.stderr.write("The two differ.")
                continue
            try:
                admin_set_password(actor=None, user_id=user.pk, new_password=password)
            except Invalid as refusal:
                self.stderr.write(" ".join(refusal.errors.values()))
                continue
            self.stdout.write(f"The password of {user.username} is set.")
            return
        raise CommandError("The password is as it was.")
