"""What all views of the API share."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from api.common.locking import IfMatch
from api.rest import etags
from api.rest.query_params import QueryParamsSerializer

S = TypeVar("S", bound=serializers.BaseSerializer[Any])


class RuledAPIView(APIView):
    """A view whose actions name their rules, and whose query parameters are declared."""

    rules: ClassVar[Mapping[str, str]] = {}
    http_method_names = ["get", "head", "post", "patch", "delete"]
    queries: ClassVar[Mapping[str, type[QueryParamsSerializer]]] = {}  # per action; the others take no parameters
    row: Any  # what the address names, looked up by RulePermission

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower().replace("head", "get")
        if not hasattr(self, method):
            return  # becomes a 405
        action = getattr(self, "action", None) or method
        query = self.queries.get(action, QueryParamsSerializer)(data=request.query_params)
        query.is_valid(raise_exception=True)
        self.query: dict[str, Any] = query.validated_data

    @property
    def actor(self) -> Any:
        """The signed-in user."""
        return self.request.user

    @property
    def if_match(self) -> IfMatch:
        return etags.if_match(self.request)

    def validated_body(self, serializer_class: type[S], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The validated body; ValidationError names its fields."""
        kwargs["context"] = {"reader": self.actor}
        serializer = serializer_class(*args, data=self.request.data, **kwargs)  # type: ignore[misc]
        serializer.is_valid(raise_exception=True)
        return cast("dict[str, Any]", serializer.validated_data)


class RuledViewSet(RuledAPIView, ViewSet):
    """A collection and its objects."""

    serializer_class: ClassVar[type[serializers.BaseSerializer[Any]]]

    def get_row(self, rule: str) -> Any:
        """The object of the address: NotFound if not visible, Denied if visible but not allowed by `rule`."""
        raise NotImplementedError

    def object_response(self, row: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """One object with its ETag."""
        all_headers = {"ETag": etags.etag(row), **(headers or {})}
        return Response(self.represent(row), status=status, headers=all_headers)

    def represent(self, row: Any) -> Any:
        """One object as the signed-in user sees it."""
        return self.serializer_class(row, context={"reader": self.actor}).data
