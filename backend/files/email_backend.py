"""Django's backend that writes emails to files, whose reset links nobody else may read."""

from django.core.mail.backends import filebased

from backend.files.private import open_private


class EmailBackend(filebased.EmailBackend):
    def open(self) -> bool:
        is_new = self.stream is None
        if is_new:
            self.stream = open_private(self._get_filename(), "ab")  # type: ignore[assignment, attr-defined]
        return is_new
