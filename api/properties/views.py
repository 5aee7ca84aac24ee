"""Views of /api/properties/."""

from functools import partial
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.common.access import get_deleted
from api.idempotency.views import IdempotentCreateViewSet
from api.properties import services
from api.properties.models import Property
from api.properties.selectors import filter_properties, get_property, visible_properties
from api.properties.serializers import PropertyListParams, PropertySerializer
from api.rest.pagination import paginate, serialize_with
from api.rest.schema import page_schema
from api.rest.serializers import EmptySerializer


class PropertyViewSet(IdempotentCreateViewSet):
    serializer_class = PropertySerializer
    versioned = ("retrieve", "partial_update", "destroy", "restore")
    queries: ClassVar = {"list": PropertyListParams}
    rules: ClassVar = {
        "list": "properties.view",
        "create": "properties.create",
        "retrieve": "properties.view",
        "partial_update": "properties.edit",
        "destroy": "properties.delete",
        "restore": "properties.restore",
    }

    def get_row(self, rule: str) -> Property:
        get = partial(get_property, actor=self.actor, pk=self.kwargs["pk"], rule=rule)
        return get_deleted(get, rule, self.actor) if self.action == "restore" else get()

    @extend_schema(parameters=[PropertyListParams], responses=page_schema(PropertySerializer))
    def list(self, request: Request) -> Response:
        """List the properties that you can see.

        Managers and superusers see all properties. Staff see active ones. Viewers see their own.
        """
        visible = visible_properties(self.actor, deleted=self.query.get("deleted", False))
        properties = filter_properties(visible, self.query)
        return Response(paginate(request, properties, serialize_with(PropertySerializer), self.query))

    @extend_schema(request=PropertySerializer, responses={201: PropertySerializer})
    def create(self, request: Request) -> Response:
        """Create a property. Its name must be unique."""
        return self.created_response(
            lambda: services.create_property(actor=self.actor, **self.validated_body(PropertySerializer))
        )

    @extend_schema(responses=PropertySerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Return a property."""
        return self.object_response(self.row)

    @extend_schema(request=PropertySerializer, responses=PropertySerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change fields of a property."""
        values = self.validated_body(PropertySerializer, self.row, partial=True)
        return self.object_response(
            services.update_property(actor=self.actor, property_id=pk, if_match=self.if_match, **values)
        )

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Delete a property. Its tasks are hidden. Managers and superusers can restore it."""
        services.delete_property(actor=self.actor, property_id=pk, if_match=self.if_match)
        return Response(status=204)

    @extend_schema(request=EmptySerializer, responses=PropertySerializer)
    def restore(self, request: Request, pk: int) -> Response:
        """Restore a deleted property and its tasks. Returns 409 if it is not deleted or its name is taken."""
        self.validated_body(EmptySerializer)
        row = services.restore_property(actor=self.actor, property_id=pk, if_match=self.if_match)
        return self.object_response(row)
