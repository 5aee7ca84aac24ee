"""Idempotent POST requests."""

from collections.abc import Callable
from typing import Any

import orjson
from rest_framework.response import Response

from api.idempotency.service import StoredResponse, run_once
from api.rest import etags
from api.rest.views import RuledViewSet


class IdempotentCreateViewSet(RuledViewSet):
    """A collection whose POST supports Idempotency-Key."""

    idempotent = ("create",)

    def created_response(self, create: Callable[[], Any]) -> Response:
        """Return 201 with Location; a repeated request with the same Idempotency-Key gets the stored response.

        `create` also validates the body: validation of a repeated request would fail, because its name now exists.
        """

        def produce() -> StoredResponse:
            row = create()
            body = orjson.dumps(self.represent(row), option=orjson.OPT_UTC_Z).decode()
            return StoredResponse(status=201, body=body, etag=etags.etag(row), location=f"{self.request.path}{row.pk}/")

        stored = run_once(
            produce,
            user_id=self.actor.pk,
            path=self.request.path,
            key=self.request.headers.get("Idempotency-Key"),
            body=self.request.data,
        )
        headers = {"ETag": stored.etag, "Location": stored.location}
        return Response(orjson.loads(stored.body), status=stored.status, headers=headers)
