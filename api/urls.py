"""All routes of the API."""

from typing import Any

from django.urls import path

from api.accounts import views as accounts
from api.digests.views import DigestPreviewView
from api.notifications.views import NotificationViewSet
from api.operations.views import DetailedHealthView
from api.properties.views import PropertyViewSet
from api.rest.docs import DocsView, SchemaView
from api.tasks.views import TaskViewSet
from api.users.views import UserViewSet

COLLECTION: dict[str, Any] = {"get": "list", "post": "create"}
ITEM: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
    path("health/detailed/", DetailedHealthView.as_view(), name="health-detailed"),
    path("auth/login/", accounts.LoginView.as_view(), name="login"),
    path("auth/refresh/", accounts.RefreshView.as_view(), name="refresh"),
    path("auth/logout/", accounts.LogoutView.as_view(), name="logout"),
    path("auth/logout-all/", accounts.LogoutAllView.as_view(), name="logout-all"),
    path("auth/sessions/", accounts.SessionListView.as_view(), name="sessions"),
    path("auth/sessions/<uuid:session_id>/", accounts.SessionView.as_view(), name="session"),
    path("auth/me/", accounts.MeView.as_view(), name="me"),
    path("auth/password/change/", accounts.PasswordChangeView.as_view(), name="password-change"),
    path("auth/password/reset/", accounts.PasswordResetView.as_view(), name="password-reset"),
    path("auth/password/reset/confirm/", accounts.PasswordResetConfirmView.as_view(), name="password-reset-confirm"),
    path("tasks/", TaskViewSet.as_view(COLLECTION), name="tasks"),
    path("tasks/summary/", TaskViewSet.as_view({"get": "summary"}), name="task-summary"),
    path("tasks/<id:pk>/", TaskViewSet.as_view(ITEM), name="task"),
    path("tasks/<id:pk>/status/", TaskViewSet.as_view({"post": "change_status"}), name="task-status"),
    path("tasks/<id:pk>/assign/", TaskViewSet.as_view({"post": "assign"}), name="task-assign"),
    path("tasks/<id:pk>/claim/", TaskViewSet.as_view({"post": "claim"}), name="task-claim"),
    path("tasks/<id:pk>/restore/", TaskViewSet.as_view({"post": "restore"}), name="task-restore"),
    path("tasks/<id:pk>/history/", TaskViewSet.as_view({"get": "history"}), name="task-history"),
    path("properties/", PropertyViewSet.as_view(COLLECTION), name="properties"),
    path("properties/<id:pk>/", PropertyViewSet.as_view(ITEM), name="property"),
    path("properties/<id:pk>/restore/", PropertyViewSet.as_view({"post": "restore"}), name="property-restore"),
    path("notifications/", NotificationViewSet.as_view({"get": "list"}), name="notifications"),
    path("notifications/unread-count/", NotificationViewSet.as_view({"get": "unread_count"}), name="unread-count"),
    path("notifications/read-all/", NotificationViewSet.as_view({"post": "read_all"}), name="read-all"),
    path("notifications/<id:pk>/read/", NotificationViewSet.as_view({"post": "read"}), name="notification-read"),
    path("digests/preview/", DigestPreviewView.as_view(), name="digest-preview"),
    path("users/", UserViewSet.as_view(COLLECTION), name="users"),
    path("users/<id:pk>/", UserViewSet.as_view(ITEM), name="user"),
    path("users/<id:pk>/password-reset/", accounts.UserPasswordResetView.as_view(), name="user-password-reset"),
]
