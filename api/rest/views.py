"""Base classes of the API's views."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeVar, cast

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from api.common.locking import IfMatch
from api.rest import etags
from api.rest.query_params import QueryParamsSerializer

SerializerT = TypeVar("SerializerT", bound=serializers.BaseSerializer[Any])


class RuledAPIView(APIView):
    """Base of all API views: each action declares its rule and its query parameters."""

    rules: ClassVar[Mapping[str, str]] = {}
    http_method_names = ["get", "head", "post", "patch", "delete"]
    queries: ClassVar[Mapping[str, type[QueryParamsSerializer]]] = {}  # per action; other actions take no parameters
    # Actions with these properties; the OpenAPI document is built from them.
    idempotent: ClassVar[Collection[str]] = ()  # honor Idempotency-Key and return an ETag
    versioned: ClassVar[Collection[str]] = ()  # return an ETag; all but GET honor If-Match
    login_throttled: ClassVar[Collection[str]] = ()  # count attempts in the login throttle and can return 429
    row: Any  # the object that the URL names; set by RulePermission

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower().replace("head", "get")
        if not hasattr(self, method):
            return  # becomes a 405
        action = getattr(self, "action", None) or method
        params = self.queries.get(action, QueryParamsSerializer)(data=request.query_params)
        params.is_valid(raise_exception=True)
        self.query: dict[str, Any] = params.validated_data

    @property
    def actor(self) -> Any:
        """Return the authenticated user."""
        return self.request.user

    @property
    def if_match(self) -> IfMatch:
        return etags.if_match(self.request)

    def validated_body(self, serializer_class: type[SerializerT], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the validated request body; raise ValidationError with the invalid fields."""
        kwargs["context"] = {"reader": self.actor}
        serializer = serializer_class(*args, data=self.request.data, **kwargs)  # type: ignore[misc]
        serializer.is_valid(raise_exception=True)
        return cast("dict[str, Any]", serializer.validated_data)


class RuledViewSet(RuledAPIView, ViewSet):
    """Base of views of a collection and its objects."""

    serializer_class: ClassVar[type[serializers.BaseSerializer[Any]]]

    def get_row(self, rule: str) -> Any:
        """Return the object of the URL.

        Raise NotFound if it is not visible to the user, Denied if it is visible but `rule` forbids the action.
        """
        raise NotImplementedError

    def object_response(self, row: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response with the object and its ETag."""
        all_headers = {"ETag": etags.etag(row), **(headers or {})}
        return Response(self.represent(row), status=status, headers=all_headers)

    def represent(self, row: Any) -> Any:
        """Return the object's representation for the authenticated user."""
        return self.serializer_class(row, context={"reader": self.actor}).data
