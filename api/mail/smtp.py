"""SMTP connections with a hook for the moment just before the server receives the message."""

import smtplib
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend

DJANGOS_SMTP = "django.core.mail.backends.smtp.EmailBackend"
Hook = Callable[[], None]
_CLOSING = 421  # "service not available, closing transmission channel"


class _BeforeDataHook:
    """Calls `before_data` before the SMTP command DATA."""

    before_data: Hook | None = None
    has_data_started = False

    def data(self, msg: Any) -> Any:
        if self.before_data is not None:
            self.has_data_started = True
            self.before_data()
        return super().data(msg)  # type: ignore[misc]


class _SMTP(_BeforeDataHook, smtplib.SMTP):
    pass


class _SMTPS(_BeforeDataHook, smtplib.SMTP_SSL):
    pass


class _Backend(EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _SMTPS if self.use_ssl else _SMTP


class Mailer:
    """One connection for many messages. It opens on demand and again after a failure."""

    def __init__(self) -> None:
        self._is_smtp = settings.EMAIL_BACKEND == DJANGOS_SMTP
        self._backend: Any = _Backend() if self._is_smtp else mail.get_connection()
        self.is_server_unavailable = False  # unreachable, or it rejected the credentials

    def send(self, message: mail.EmailMessage, *, before_data: Hook) -> None:
        """Send one message; raise the errors of smtplib and sockets.

        Call `before_data` when the server has accepted the recipient, before it receives the message.
        """
        try:
            is_new = self._open()
            try:
                self._send(message, before_data)
            except OSError as error:
                if is_new or not self._is_disconnect(error):
                    raise
                self.close()
                self._open()
                self._send(message, before_data)
        except Exception:
            self.close()
            raise

    def _open(self) -> bool:
        try:
            return bool(self._backend.open())
        except Exception:
            self.is_server_unavailable = True
            raise

    def _send(self, message: mail.EmailMessage, before_data: Hook) -> None:
        if self._is_smtp:
            self._backend.connection.before_data = before_data
            self._backend.connection.has_data_started = False
        else:
            before_data()
        self._backend.send_messages([message])

    def _is_disconnect(self, error: OSError) -> bool:
        """Return whether the server closed the connection, as it may after many messages or a pause."""
        if not self._is_smtp or self._backend.connection.has_data_started:
            return False
        is_closing = getattr(error, "smtp_code", None) == _CLOSING
        return is_closing or isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError)

    def close(self) -> None:
        if self._is_smtp and self._backend.connection is not None:
            # Django's close() sends QUIT and would wait for a server that does not reply.
            self._backend.connection.close()
            self._backend.connection = None
        else:
            self._backend.close()
