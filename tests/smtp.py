"""A real SMTP server. The recipient's address selects its reply."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

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
        """Return the decoded plain text body."""
        return self.message.get_body(("plain",)).get_content()

    @property
    def message(self) -> Message:
        return message_from_bytes(self.content, policy=default)


class MailServer:
    """Accepts all emails except to the names below."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[ReceivedMail] = []
        self.rejects_temporarily = False
        self.delay = 0.0  # seconds before the reply to each message
        self.emails_per_connection = 1_000  # then it disconnects, as many servers do
        self.announces_disconnect = True
        # The commands on each connection: [("MAIL" | "RCPT" | "DATA", recipient, if known)]
        self.conversations: list[list[tuple[str, str]]] = []

    async def handle_EHLO(self, server, session, envelope, hostname, responses):  # noqa: N802 - aiosmtpd's
        session.host_name = hostname
        session.conversation = []
        self.conversations.append(session.conversation)
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's
        if sum(verb == "DATA" for verb, _ in session.conversation) >= self.emails_per_connection:
            server.transport.write(b"421 4.7.0 Too many messages\r\n" if self.announces_disconnect else b"")
            server.transport.close()
            return "421 4.7.0 Too many messages"
        session.conversation.append(("MAIL", ""))
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's
        session.conversation.append(("RCPT", address))
        if address.startswith("refused"):
            return "550 5.1.1 No such user"
        if address.startswith("later@") or self.rejects_temporarily:
            return "451 4.3.2 Try again later"
        if address.startswith("gone@"):
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's
        session.conversation.append(("DATA", envelope.rcpt_tos[0]))
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "dropped":
            server.transport.abort()
            return "250 OK"
        if name == "spam":
            return "554 5.7.1 This looks like spam"
        if name == "full":
            return "452 4.2.2 The mailbox is full"
        await asyncio.sleep(0.5 if name == "slow" else self.delay)
        self.mails.append(ReceivedMail(envelope.rcpt_tos, envelope.content))
        if name == "garbled":
            return "What was that?"
        if name == "mute":
            await asyncio.sleep(60)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mail_server(port: int | None = None, **options: Any) -> Iterator[MailServer]:
    """Listen until the block ends; `options` are those of aiosmtpd's SMTP."""
    server = MailServer(port or free_port())
    controller = Controller(server, hostname="127.0.0.1", port=server.port, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never sends anything."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]
