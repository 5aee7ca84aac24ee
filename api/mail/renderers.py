"""Bodies that are written when the mail leaves: a link in them lives no longer than needed, and is in no table."""

from collections.abc import Callable
from typing import NamedTuple

from api.mail.models import OutgoingMail


class Bodies(NamedTuple):
    text: str
    html: str


class NotWanted(Exception):
    """There is no reason to send this mail, or not any more: its row goes."""


Writer = Callable[[OutgoingMail], Bodies]
_writers: dict[str, Writer] = {}


def writes(kind: str) -> Callable[[Writer], Writer]:
    """Make the function the writer of all mails of a kind."""

    def register(writer: Writer) -> Writer:
        _writers[kind] = writer
        return writer

    return register


def bodies_of(mail: OutgoingMail) -> Bodies:
    """Raises NotWanted."""
    writer = _writers.get(mail.kind)
    return writer(mail) if writer else Bodies(mail.text_body, mail.html_body)
