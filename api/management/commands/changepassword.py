"""`manage.py changepassword`: replaces Django's command, ends all sessions and records the change."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.accounts.services import admin_set_password
from api.common.errors import Invalid
from api.users.selectors import find_login

TRIES = 3


class Command(BaseCommand):
    help = "Set a user's password and end all their sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_login(options["username"])
        if user is None:
            raise CommandError("No user has this username or email address. Check the spelling.")
        for _ in range(TRIES):
            password = getpass.getpass(f"New password for {user.username}: ")
            if not password:
                break
            if password != getpass.getpass("Repeat password: "):
                self.stderr.write("The passwords differ. Try again.")
                continue
            try:
                admin_set_password(actor=None, user_id=user.pk, new_password=password)
            except Invalid as error:
                self.stderr.write(" ".join(error.errors.values()))
                continue
            self.stdout.write(f"The password of {user.username} was set. All their sessions have ended.")
            return
        raise CommandError("The password was not changed.")
