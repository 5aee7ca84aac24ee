"""Email bodies that are rendered at delivery, so that their links are fresh and never stored."""

from collections.abc import Callable
from typing import NamedTuple

from api.mail.models import OutgoingMail


class Bodies(NamedTuple):
    text: str
    html: str


class SkipMail(Exception):
    """Raised by a renderer if the email must not be sent: delivery deletes its row."""


Renderer = Callable[[OutgoingMail], Bodies]
_renderers: dict[str, Renderer] = {}


def renders(kind: str) -> Callable[[Renderer], Renderer]:
    """Register the decorated function as the renderer of a kind of email."""

    def register(renderer: Renderer) -> Renderer:
        _renderers[kind] = renderer
        return renderer

    return register


def render_bodies(mail: OutgoingMail) -> Bodies:
    """Return the bodies of an email; raise SkipMail if it must not be sent."""
    renderer = _renderers.get(mail.kind)
    return renderer(mail) if renderer else Bodies(mail.text_body, mail.html_body)
