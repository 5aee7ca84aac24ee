"""Bodies that are written when the mail leaves: a link in them lives no longer than needed, and is in no table."""

from collections.abc import Callable
from typing import NamedTuple

from api.mail.models import OutgoingMail


class Bodies(NamedTuple):
    text: str
    html: str


class SkipMail(Exception):
    """There is no reason to send this mail, or not any more: its row goes."""


Renderer = Callable[[OutgoingMail], Bodies]
_renderers: dict[str, Renderer] = {}


def renders(kind: str) -> Callable[[Renderer], Renderer]:
    """Make the function the writer of all mails of a kind."""

    def register(writer: Renderer) -> Renderer:
        _renderers[kind] = writer
        return writer

    return register


def render_bodies(mail: OutgoingMail) -> Bodies:
    """Raises NotWanted."""
    writer = _renderers.get(mail.kind)
    return writer(mail) if writer else Bodies(mail.text_body, mail.html_body)
