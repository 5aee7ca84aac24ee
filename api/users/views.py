"""Endpoints of /api/users/."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.common import rules
from api.common.choices import Role
from api.common.errors import Denied
from api.idempotency.views import IdempotentCreateViewSet
from api.rest.pagination import paginate, serialize_with
from api.rest.schema import page_schema
from api.users import services
from api.users.models import User
from api.users.selectors import filter_users, get_user, visible_users
from api.users.serializers import (
    NewUserSerializer,
    OwnUserSerializer,
    UserListParams,
    UserSerializer,
)


class UserViewSet(IdempotentCreateViewSet):
    serializer_class = UserSerializer
    versioned = ("retrieve", "partial_update", "destroy")
    queries: ClassVar = {"list": UserListParams}
    rules: ClassVar = {
        "list": "users.view",
        "create": "users.create",
        "retrieve": "users.view",
        "partial_update": "users.edit",
        "destroy": "users.disable",
    }

    def get_row(self, rule: str) -> User:
        return get_user(actor=self.actor, pk=self.kwargs["pk"], rule=self._own_rule(rule))

    @extend_schema(parameters=[UserListParams], responses=page_schema(UserSerializer))
    def list(self, request: Request) -> Response:
        """List the users that you can see.

        Superusers see all users. Managers see all users except superusers. Staff and viewers see themselves.
        """
        users = filter_users(visible_users(self.actor), self.query)
        return Response(paginate(request, users, serialize_with(UserSerializer), self.query))

    @extend_schema(request=NewUserSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        """Create a user. Managers create staff and viewers. Only superusers may set a password."""
        # Check before a stored response is repeated, too: the actor's role may have changed.
        body: Any = request.data
        role, has_password = body.get("role"), body.get("password") is not None
        if role in Role.values:
            services.require_creation(self.actor, role=role, has_password=has_password)
        return self.created_response(
            lambda: services.create_user(actor=self.actor, **self.validated_body(NewUserSerializer))
        )

    @extend_schema(responses=UserSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Return a user."""
        return self.object_response(self.row)

    @extend_schema(request=UserSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change fields of a user.

        On your own account, you can change profile fields only; change your email with `PATCH /api/auth/me/`. A new
        email, a new role or disabling the account ends all sessions of the user.
        """
        rule = self._own_rule("users.edit")
        if "password" in request.data:
            rules.require("users.set_password", self.actor)
        if pk == self.actor.pk and "email" in request.data:
            raise Denied(action="users.edit", target=self.row, errors={"email": "Change it under /api/auth/me/."})
        serializer = OwnUserSerializer if rule == "users.edit_profile" else UserSerializer
        values = self.validated_body(serializer, self.row, partial=True)
        user = services.update_user(actor=self.actor, user_id=pk, rule=rule, if_match=self.if_match, **values)
        return self.object_response(user)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Disable a user. The account is kept; send `is_active: true` with PATCH to enable it again."""
        services.update_user(
            actor=self.actor, user_id=pk, rule="users.disable", if_match=self.if_match, is_active=False
        )
        return Response(status=204)

    def _own_rule(self, rule: str) -> str:
        """Return users.edit_profile for the actor's own account, unless the rule allows them everything."""
        is_own = rule == "users.edit" and self.kwargs["pk"] == self.actor.pk
        is_unlimited = rules.scope_of(rule, self.actor.role) is rules.Scope.ALL
        return "users.edit_profile" if is_own and not is_unlimited else rule
