"""The parts that operations share in the OpenAPI document: errors, headers and pages."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from api.common.rules import PUBLIC
from api.rest.query_params import PaginationParams, QueryParamsSerializer
from backend.http.problems import CONTENT_TYPE


class ProblemErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="A stable error code for programs.")
    request_id = serializers.CharField(allow_blank=True, help_text="Quote it when you report an error.")
    errors = ProblemErrorSerializer(many=True)  # type: ignore[assignment]


IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag of the version you read. Returns 412 if the object has changed since.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="The same key and body get the same response for 24 hours. Another body gets 422.",
)
ETAG = OpenApiParameter("ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, response=["200", "201"])


def page_schema(serializer: type[serializers.BaseSerializer[Any]]) -> Any:
    """Return the serializer of a page of these objects."""
    name = serializer.__name__.removesuffix("Serializer")
    fields = {
        "count": serializers.IntegerField(help_text="Exact up to 10,000."),
        "count_is_capped": serializers.BooleanField(help_text="Whether there are more objects than count."),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": serializer(many=True),
    }
    return extend_schema_serializer(many=False)(type(f"{name}Page", (serializers.Serializer,), fields))


class CosmoAutoSchema(AutoSchema):
    """Document the headers and the error statuses of each operation, as its view declares them."""

    method: str

    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    def get_override_parameters(self) -> list[Any]:
        if self._is_idempotent:
            return [IDEMPOTENCY_KEY, ETAG]
        if self._honors_if_match:
            return [IF_MATCH, ETAG]
        return [ETAG] if self._is_versioned else []

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        problem = OpenApiResponse(ProblemSerializer, description="Problem details")
        for status in self._error_statuses():
            responses[str(status)] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                problem, str(status), [CONTENT_TYPE], direction
            )
        return responses

    def _error_statuses(self) -> list[int]:
        """Return the error statuses that this operation can have, in ascending order."""
        rule = getattr(self.view, "rules", {}).get(self._action)
        params = getattr(self.view, "queries", {}).get(self._action, QueryParamsSerializer)
        has_body = self.method in {"POST", "PATCH"}
        possible = {
            400: True,
            401: True,
            403: rule != PUBLIC,
            404: "{" in self.path or issubclass(params, PaginationParams),
            409: has_body or self.method == "DELETE",
            412: self._honors_if_match,
            413: has_body,
            415: has_body,
            422: self._is_idempotent,
            429: self._action in getattr(self.view, "login_throttled", ()),
            500: True,
            503: True,
        }
        return [status for status, is_possible in possible.items() if is_possible]

    @property
    def _action(self) -> str:
        return getattr(self.view, "action", None) or self.method.lower()

    @property
    def _is_idempotent(self) -> bool:
        return self._action in getattr(self.view, "idempotent", ())

    @property
    def _is_versioned(self) -> bool:
        return self._action in getattr(self.view, "versioned", ())

    @property
    def _honors_if_match(self) -> bool:
        return self._is_versioned and self.method != "GET"
