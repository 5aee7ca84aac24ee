"""Django's backend that writes emails to files, whose reset links nobody else may read."""

from django.core.mail.backends import filebased

from backend.private_files import open_private


class EmailBackend(filebased.EmailBackend):
    def open(self) -> bool:
        if self.stream is not None:
            return False
        self.stream = open_private(self._get_filename(), "ab")
        return True
