"""/api/notifications/."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.notifications import services
from api.notifications.models import Notification
from api.notifications.selectors import get_notification, notifications_of
from api.notifications.serializers import NotificationListParams, NotificationSerializer, UnreadCountSerializer
from api.rest.pagination import paginate, serialize_with
from api.rest.schema import page_schema
from api.rest.serializers import EmptySerializer
from api.rest.views import RuledViewSet


class NotificationViewSet(RuledViewSet):
    serializer_class = NotificationSerializer
    queries: ClassVar = {"list": NotificationListParams}
    rules: ClassVar = dict.fromkeys(("list", "unread_count", "read", "read_all"), "account.use")

    def get_row(self, rule: str) -> Notification:
        return get_notification(actor=self.actor, pk=self.kwargs["pk"])

    @extend_schema(parameters=[NotificationListParams], responses=page_schema(NotificationSerializer))
    def list(self, request: Request) -> Response:
        """List your notifications, the newest first."""
        notifications = notifications_of(self.actor, unread=self.query.get("unread"))
        return Response(paginate(request, notifications, serialize_with(NotificationSerializer), self.query))

    @extend_schema(responses=UnreadCountSerializer)
    def unread_count(self, request: Request) -> Response:
        """Count your unread notifications."""
        return Response({"unread_count": notifications_of(self.actor, unread=True).count()})

    @extend_schema(request=EmptySerializer, responses=NotificationSerializer)
    def read(self, request: Request, pk: int) -> Response:
        """Mark a notification as read."""
        self.validated_body(EmptySerializer)
        services.mark_read(self.row)
        return Response(self.represent(self.row))

    @extend_schema(request=EmptySerializer, responses=UnreadCountSerializer)
    def read_all(self, request: Request) -> Response:
        """Mark all your notifications as read."""
        self.validated_body(EmptySerializer)
        services.mark_all_read(self.actor)
        return self.unread_count(request)
