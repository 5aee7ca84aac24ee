"""POST that may be repeated."""

from collections.abc import Callable
from typing import Any

import orjson
from rest_framework.response import Response

from api.idempotency.service import StoredResponse, run_once
from api.rest import etags
from api.rest.views import RuledViewSet


class IdempotentCreateViewSet(RuledViewSet):
    """A collection whose POST honours Idempotency-Key."""

    idempotent = ("create",)

    def created_response(self, create: Callable[[], Any]) -> Response:
        """201 with Location; with an Idempotency-Key, the same answer to the same request for a day.

        `create` validates too: of a repeated request the name is taken, by itself.
        """

        def produce() -> StoredResponse:
            row = create()
            body = orjson.dumps(self.represent(row), option=orjson.OPT_UTC_Z).decode()
            return StoredResponse(status=201, body=body, etag=etags.etag(row), location=f"{self.request.path}{row.pk}/")

        answer = run_once(
            produce,
            user_id=self.actor.pk,
            path=self.request.path,
            key=self.request.headers.get("Idempotency-Key"),
            body=self.request.data,
        )
        headers = {"ETag": answer.etag, "Location": answer.location}
        return Response(orjson.loads(answer.body), status=answer.status, headers=headers)
