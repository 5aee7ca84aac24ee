"""Handing one message to the mail server, and telling the moment from which on it may have it."""

import smtplib
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend

DJANGOS_SMTP = "django.core.mail.backends.smtp.EmailBackend"
Hook = Callable[[], None]
_CLOSING = 421  # "service not available, closing transmission channel"


class _TellsBeforeData:
    before_data: Hook | None = None
    is_data_told = False

    def data(self, msg: Any) -> Any:
        if self.before_data is not None:
            self.is_data_told = True
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
        self.is_server_away = False  # it could not be reached, or refused our sign-in

    def send(self, message: mail.EmailMessage, *, before_data: Hook) -> None:
        """Raises what smtplib and sockets raise. `before_data` is called when the server has taken the recipient."""
        try:
            is_new = self._open()
            try:
                self._hand_over(message, before_data)
            except OSError as error:
                if is_new or not self._has_hung_up(error):
                    raise
                self.close()
                self._open()
                self._hand_over(message, before_data)
        except Exception:
            self.close()
            raise

    def _open(self) -> bool:
        try:
            return bool(self._backend.open())
        except Exception:
            self.is_server_away = True
            raise

    def _hand_over(self, message: mail.EmailMessage, before_data: Hook) -> None:
        if self._is_smtp:
            self._backend.connection.before_data = before_data
            self._backend.connection.is_data_told = False
        else:
            before_data()
        self._backend.send_messages([message])

    def _has_hung_up(self, error: OSError) -> bool:
        """Servers take so many messages on a connection, or wait so long for the next one."""
        if not self._is_smtp or self._backend.connection.is_data_told:
            return False
        is_closing = getattr(error, "smtp_code", None) == _CLOSING
        return is_closing or isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError)

    def close(self) -> None:
        if self._is_smtp and self._backend.connection is not None:
            # Django's close() says QUIT and waits for the answer of a server that may not give one.
            self._backend.connection.close()
            self._backend.connection = None
        else:
            self._backend.close()
