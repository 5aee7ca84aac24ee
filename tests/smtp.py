"""A real SMTP server that does to mails what mail servers do; the recipient says what."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import default

from aiosmtpd.controller import Controller


@dataclass
class ReceivedMail:
    recipients: list[str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def plain(self) -> str:
        """The text of the message, decoded."""
        return self.message.get_body(("plain",)).get_content()

    @property
    def message(self) -> Message:
        return message_from_bytes(self.content, policy=default)


class MailServer:
    """Accepts everything but what is for one of the names below."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[ReceivedMail] = []
        self.refuses_for_now = False

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's
        if address.startswith("refused@"):
            return "550 5.1.1 There is nobody of this name"
        if address.startswith("later@") or self.refuses_for_now:
            return "451 4.3.2 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "dropped":
            server.transport.abort()
            return "250 OK"
        if name == "spam":
            return "554 5.7.1 This looks like spam"
        if name == "full":
            return "452 4.2.2 The mailbox is full"
        if name == "slow":
            await asyncio.sleep(0.5)
        self.mails.append(ReceivedMail(envelope.rcpt_tos, envelope.content))
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mail_server(port: int | None = None) -> Iterator[MailServer]:
    server = MailServer(port or free_port())
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]
