"""`manage.py preview_digest`: show a user's current digest without sending it."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from api.digests import service
from api.digests.rendering import build_digest_mail
from api.users.models import User
from backend.files.private import open_private


class Command(BaseCommand):
    help = "Print the text of a user's current digest, and optionally write its HTML to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, required=True, metavar="ID")
        parser.add_argument("--html", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(pk=options["user"]).first()
        if user is None:
            raise CommandError("There is no such user.")
        digest = service.digest_of(user, now=timezone.now())
        if digest is None:
            self.stdout.write(f"{user.display_name} has an empty digest: no email would be sent.")
            return
        draft = build_digest_mail(digest, once_key=None)
        self.stdout.write(f"Subject: {draft.subject}\n\n{draft.text_body}")
        if options["html"]:
            with open_private(options["html"], "w") as file:
                file.write(draft.html_body)
