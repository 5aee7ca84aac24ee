"""Handing one message to the mail server, and telling the moment from which on it may have it."""

import smtplib
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend

DJANGOS_SMTP = "django.core.mail.backends.smtp.EmailBackend"
Hook = Callable[[], None]


class _TellsBeforeData:
    before_data: Hook | None = None

    def data(self, msg: Any) -> Any:
        if self.before_data is not None:
            self.before_data()
        return super().data(msg)  # type: ignore[misc]


class _SMTP(_TellsBeforeData, smtplib.SMTP):
    pass


class _SMTPS(_TellsBeforeData, smtplib.SMTP_SSL):
    pass


class _Backend(EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _SMTPS if self.use_ssl else _SMTP


class Mailer:
    """One connection for many messages; opened when it is needed, and anew after it broke."""

    def __init__(self) -> None:
        self._is_smtp = settings.EMAIL_BACKEND == DJANGOS_SMTP
        self._backend: Any = _Backend() if self._is_smtp else mail.get_connection()

    def send(self, message: mail.EmailMessage, *, before_data: Hook) -> None:
        """Raises what smtplib and sockets raise. `before_data` is called when the server has taken the recipient."""
        try:
            self._backend.open()
            if self._is_smtp:
                self._backend.connection.before_data = before_data
            else:
                before_data()
            self._backend.send_messages([message])
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self._is_smtp and self._backend.connection is not None:
            # Django's close() says QUIT and waits for the answer of a server that may not give one.
            self._backend.connection.close()
            self._backend.connection = None
        else:
            self._backend.close()
