"""Endpoints of /api/auth/: login, logout, sessions, passwords and the own profile."""

import uuid
from typing import ClassVar

from django.contrib.auth import logout
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.accounts import login, password_reset, sessions
from api.accounts.devices import set_device_cookie
from api.accounts.models import Session
from api.accounts.selectors import live_sessions
from api.accounts.serializers import (
    LoginSerializer,
    MeSerializer,
    PasswordChangeSerializer,
    RefreshSerializer,
    ResetConfirmSerializer,
    ResetRequestedSerializer,
    ResetRequestSerializer,
    SessionSerializer,
    SignedInSerializer,
    TokensSerializer,
)
from api.accounts.services import change_own_password, log_out_everywhere, update_own_profile
from api.audit.events import Event
from api.common.errors import NotFound
from api.common.rules import PUBLIC
from api.rest import etags
from api.rest.pagination import paginate, serialize_with
from api.rest.query_params import PaginationParams
from api.rest.schema import page_schema
from api.rest.serializers import EmptySerializer
from api.rest.views import RuledAPIView
from api.users.models import User
from api.users.selectors import get_user
from api.users.serializers import UserSerializer

RESET_REQUESTED = "If an account uses this email address, we have sent it a link to set a new password."


class LoginView(RuledAPIView):
    rules: ClassVar = {"post": PUBLIC}
    login_throttled = ("post",)
    authentication_classes = ()

    @extend_schema(request=LoginSerializer, responses=SignedInSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Sign in with a username or an email, and get an access token and a refresh token.

        Returns 401 for invalid credentials and 429 after too many failed attempts.
        """
        values = self.validated_body(LoginSerializer)
        user, tokens, device_key = login.log_in(login=values["username"], password=values["password"])
        response = Response(tokens | {"user": UserSerializer(user).data})
        set_device_cookie(response, device_key)
        return response


class RefreshView(RuledAPIView):
    rules: ClassVar = {"post": PUBLIC}
    authentication_classes = ()

    @extend_schema(request=RefreshSerializer, responses=TokensSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new access token and a new refresh token.

        Each refresh token can be used once. Sending a used one again after ten seconds ends the session.
        """
        return Response(sessions.refresh(self.validated_body(RefreshSerializer)["refresh"]))


class LogoutView(RuledAPIView):
    rules: ClassVar = {"post": "account.use"}

    @extend_schema(request=EmptySerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out. Ends this session and revokes its access token."""
        self.validated_body(EmptySerializer)
        if isinstance(request.auth, Session):
            sessions.end_session(request.auth, event=Event.LOGOUT)
        else:
            logout(request._request)
        return Response(status=204)


class LogoutAllView(RuledAPIView):
    rules: ClassVar = {"post": "account.use"}

    @extend_schema(request=EmptySerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out everywhere. Ends all your sessions and revokes their tokens."""
        self.validated_body(EmptySerializer)
        log_out_everywhere(user_id=self.actor.pk)
        return Response(status=204)


class SessionListView(RuledAPIView):
    rules: ClassVar = {"get": "account.use"}
    queries: ClassVar = {"get": PaginationParams}

    @extend_schema(
        operation_id="auth_sessions_list", parameters=[PaginationParams], responses=page_schema(SessionSerializer)
    )
    def get(self, request: Request) -> Response:
        """List your sessions."""
        open_sessions = live_sessions(self.actor)
        return Response(
            paginate(request, open_sessions, serialize_with(SessionSerializer, current=request.auth), self.query)
        )


class SessionView(RuledAPIView):
    rules: ClassVar = {"delete": "account.use"}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        """End one of your sessions and revoke its tokens."""
        session = live_sessions(self.actor).filter(pk=session_id).first()
        if session is None:
            raise NotFound
        sessions.end_session(session)
        return Response(status=204)


class MeView(RuledAPIView):
    rules: ClassVar = {"get": "account.use", "patch": "account.use"}
    versioned = ("get", "patch")
    login_throttled = ("patch",)

    @extend_schema(responses=UserSerializer)
    def get(self, request: Request) -> Response:
        """Return your own account."""
        return Response(UserSerializer(self.actor).data, headers={"ETag": etags.etag(self.actor)})

    @extend_schema(request=MeSerializer, responses=UserSerializer)
    def patch(self, request: Request) -> Response:
        """Change your profile. A new email needs `current_password` and ends all your sessions, including this one."""
        values = self.validated_body(MeSerializer, self.actor, partial=True)
        user = update_own_profile(user=self.actor, if_match=self.if_match, **values)
        return Response(UserSerializer(user).data, headers={"ETag": etags.etag(user)})


class PasswordResetView(RuledAPIView):
    rules: ClassVar = {"post": PUBLIC}
    login_throttled = ("post",)
    authentication_classes = ()

    @extend_schema(request=ResetRequestSerializer, responses=ResetRequestedSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Request an email with a link to set a new password. The response is the same if no such account exists."""
        password_reset.request_reset(**self.validated_body(ResetRequestSerializer))
        return Response({"detail": RESET_REQUESTED})


class PasswordResetConfirmView(RuledAPIView):
    rules: ClassVar = {"post": PUBLIC}
    login_throttled = ("post",)
    authentication_classes = ()

    @extend_schema(request=ResetConfirmSerializer, responses={204: None}, auth=[])
    def post(self, request: Request) -> Response:
        """Set a new password with the uid and token of the emailed link. Ends all sessions of the user."""
        password_reset.confirm_reset(**self.validated_body(ResetConfirmSerializer))
        return Response(status=204)


class UserPasswordResetView(RuledAPIView):
    rules: ClassVar = {"post": "users.send_reset"}

    def get_row(self, rule: str) -> User:
        return get_user(actor=self.actor, pk=self.kwargs["pk"], rule=rule)

    @extend_schema(request=EmptySerializer, responses={202: None})
    def post(self, request: Request, pk: int) -> Response:
        """Send a user an email with a link to set a password. Returns 409 if the account is disabled."""
        self.validated_body(EmptySerializer)
        password_reset.send_reset(actor=self.actor, user_id=pk)
        return Response(status=202)


class PasswordChangeView(RuledAPIView):
    rules: ClassVar = {"post": "account.use"}
    login_throttled = ("post",)

    @extend_schema(request=PasswordChangeSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Change your password. Ends all your sessions, including this one."""
        change_own_password(user=self.actor, **self.validated_body(PasswordChangeSerializer))
        return Response(status=204)
