"""Content negotiation."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class FirstRendererNegotiation(DefaultContentNegotiation):
    """Choose the view's first renderer, unless Accept names another renderer of the view.

    A server may disregard Accept instead of returning 406 (RFC 9110, 12.4.1).
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        first, *others = renderers
        if others:
            with suppress(NotAcceptable):
                return super().select_renderer(request, [first, *others], format_suffix)
        return first, first.media_type
