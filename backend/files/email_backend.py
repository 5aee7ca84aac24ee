"""Django's file-based email backend with private files: emails contain reset links."""

from django.core.mail.backends import filebased

from backend.files.private import open_private


class EmailBackend(filebased.EmailBackend):
    def open(self) -> bool:
        is_new = self.stream is None
        if is_new:
            self.stream = open_private(self._get_filename(), "ab")  # type: ignore[assignment, attr-defined]
        return is_new
