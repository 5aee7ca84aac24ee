"""What every operation has in common in the OpenAPI document."""

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
    code = serializers.CharField(help_text="For programs.")
    request_id = serializers.CharField(allow_blank=True, help_text="Quote it when you report a fault.")
    errors = ProblemErrorSerializer(many=True)  # type: ignore[assignment]


IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that you read; 412 if it is stale."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="The same key and body get the same answer for 24 hours; another body gets 422.",
)
ETAG = OpenApiParameter("ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, response=["200", "201"])


def page_schema(serializer: type[serializers.BaseSerializer[Any]]) -> Any:
    """A page of a list."""
    name = serializer.__name__.removesuffix("Serializer")
    fields = {
        "count": serializers.IntegerField(help_text="Exact up to 10,000."),
        "count_is_capped": serializers.BooleanField(help_text="There are more than count says."),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": serializer(many=True),
    }
    return extend_schema_serializer(many=False)(type(f"{name}Page", (serializers.Serializer,), fields))


class CosmoAutoSchema(AutoSchema):
    """Names every answer that an operation can give, and the headers that it reads."""

    method: str

    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    def get_override_parameters(self) -> list[Any]:
        if self._is_creation():
            return [IDEMPOTENCY_KEY, ETAG]
        if self._changes_a_row():
            return [IF_MATCH, ETAG]
        return [ETAG] if getattr(self.view, "action", "") == "retrieve" else []

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        declared: dict[str, Any] = super()._get_response_bodies(direction)
        problem = OpenApiResponse(ProblemSerializer, description="Problem details")
        for status in self._problems():
            declared[str(status)] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                problem, str(status), [CONTENT_TYPE], direction
            )
        return declared

    def _problems(self) -> list[int]:
        """The statuses beside success, in the order of their numbers."""
        action = getattr(self.view, "action", None) or self.method.lower()
        rule = getattr(self.view, "rules", {}).get(action)
        takes_body = self.method in {"POST", "PATCH"}
        is_page = issubclass(getattr(self.view, "queries", {}).get(action, QueryParamsSerializer), PaginationParams)
        possible = {
            400: True,
            401: True,
            403: rule != PUBLIC,
            404: self._is_row() or is_page,
            409: takes_body or self.method == "DELETE",
            412: self._changes_a_row(),
            413: takes_body,
            415: takes_body,
            422: self._is_creation(),
            429: takes_body and self.path.startswith("/api/auth/"),
            500: True,
            503: True,
        }
        return [status for status, holds in possible.items() if holds]

    def _is_row(self) -> bool:
        return "{" in self.path

    def _is_creation(self) -> bool:
        return getattr(self.view, "action", None) == "create"

    def _changes_a_row(self) -> bool:
        is_account = self.path == "/api/auth/me/" and self.method == "PATCH"
        return is_account or (self._is_row() and self.method != "GET" and hasattr(self.view, "get_row"))
