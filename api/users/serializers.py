"""People in JSON."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from api.common.choices import Department, Role
from api.rest.fields import TextField, WordField
from api.rest.query_params import FlagParameter, ListQuery, OrderingParameter
from api.rest.serializers import StrictModelSerializer, StrictSerializer
from api.users.login_names import LOGIN_MAX_LENGTH
from api.users.models import Session, User
from api.users.passwords import MAX_LENGTH

PROFILE_FIELDS = ("first_name", "last_name", "phone_number", "timezone", "digest_opt_out", "notification_opt_out")
ADA = {
    "id": 7,
    "username": "ada.lovelace",
    "email": "ada@example.com",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "role": "staff",
    "department": "cleaning",
    "phone_number": "+1 212 555 0100",
    "timezone": "America/New_York",
    "digest_opt_out": False,
    "notification_opt_out": False,
    "is_active": True,
}


def password_field(**kwargs: Any) -> TextField:
    """A password as it was typed: nothing is trimmed."""
    return TextField(write_only=True, trim_whitespace=False, max_length=MAX_LENGTH, **kwargs)


@extend_schema_serializer(examples=[OpenApiExample("A crew member", value=ADA, response_only=True)])
class UserSerializer(StrictModelSerializer):
    role = WordField(choices=Role.choices)

    class Meta:
        model = User
        fields = (
            *("id", "username", "email", "first_name", "last_name", "role", "department"),
            *("phone_number", "timezone", "digest_opt_out", "notification_opt_out", "is_active"),
        )
        read_only_fields = ("id",)


_NEW_ADA = {name: ADA[name] for name in ("username", "email", "first_name", "last_name", "role", "department")}


@extend_schema_serializer(examples=[OpenApiExample("A crew member", value=_NEW_ADA, request_only=True)])
class NewUserSerializer(UserSerializer):
    password = password_field(required=False, help_text="Superusers only; without one the person cannot sign in yet.")

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "password")  # type: ignore[assignment]


class OwnUserSerializer(UserSerializer):
    """What everybody may change of himself under /api/users/."""

    denied_fields = ("username", "email", "role", "department", "is_active", "password")
    denied_action = "users.edit"


class MeSerializer(UserSerializer):
    denied_fields = ("username", "role", "department", "is_active", "password")
    denied_action = "users.edit"

    current_password = password_field(required=False, help_text="Needed for a new email.")

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "current_password")  # type: ignore[assignment]
        read_only_fields = ("id", "username", "role", "department", "is_active")  # type: ignore[assignment]


class LoginSerializer(StrictSerializer):
    username = TextField(max_length=LOGIN_MAX_LENGTH, help_text="A username or an email.")
    password = password_field()


class RefreshSerializer(StrictSerializer):
    refresh = TextField(max_length=2000)


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class SignedInSerializer(TokensSerializer):
    user = UserSerializer()


class PasswordChangeSerializer(StrictSerializer):
    current_password = password_field()
    new_password = password_field(help_text="12 to 128 characters.")


class ResetRequestSerializer(StrictSerializer):
    email = TextField(max_length=LOGIN_MAX_LENGTH)


class ResetRequestedSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


class ResetConfirmSerializer(StrictSerializer):
    uid = TextField(max_length=64)
    token = TextField(max_length=128)
    new_password = password_field()


class SessionSerializer(serializers.ModelSerializer[Session]):
    device = serializers.CharField(source="user_agent")
    since = serializers.DateTimeField(source="started_at")
    last_seen = serializers.DateTimeField(source="last_seen_at", help_text="When it was last refreshed.")
    is_current = serializers.SerializerMethodField()

    class Meta:
        model = Session
        fields = ("id", "ip_address", "device", "since", "last_seen", "is_current")

    def get_is_current(self, session: Session) -> bool:
        return bool(session == self.context["current"])


class UserListQuery(ListQuery):
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    department = serializers.ChoiceField(choices=Department.choices, required=False)
    is_active = FlagParameter(required=False)
    ordering = OrderingParameter(("username", "email", "last_name", "role", "id"), required=False)
