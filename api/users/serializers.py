"""Serializers of users."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from api.common.choices import Department, Role
from api.rest.fields import StrictCharField, StrictChoiceField
from api.rest.query_params import BooleanParameter, ChoiceParameter, ListParams, OrderingParameter
from api.rest.serializers import StrictModelSerializer
from api.users.models import User
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


def password_field(**kwargs: Any) -> StrictCharField:
    """Return a password field that keeps leading and trailing spaces."""
    return StrictCharField(write_only=True, trim_whitespace=False, max_length=MAX_LENGTH, **kwargs)


@extend_schema_serializer(examples=[OpenApiExample("A staff member", value=ADA, response_only=True)])
class UserSerializer(StrictModelSerializer):
    role = StrictChoiceField(choices=Role.choices)

    class Meta:
        model = User
        fields = (
            "id",
            "username",
            "email",
            "first_name",
            "last_name",
            "role",
            "department",
            "phone_number",
            "timezone",
            "digest_opt_out",
            "notification_opt_out",
            "is_active",
        )
        read_only_fields = ("id",)


_NEW_ADA = {name: ADA[name] for name in ("username", "email", "first_name", "last_name", "role", "department")}


@extend_schema_serializer(examples=[OpenApiExample("A staff member", value=_NEW_ADA, request_only=True)])
class NewUserSerializer(UserSerializer):
    password = password_field(
        required=False, help_text="Superusers only. Without a password, the user cannot sign in yet."
    )

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "password")  # type: ignore[assignment]


class OwnUserSerializer(UserSerializer):
    """The fields that all users may change of themselves under /api/users/."""

    denied_fields = ("username", "email", "role", "department", "is_active", "password")
    denied_action = "users.edit"


class UserListParams(ListParams):
    role = ChoiceParameter(choices=Role.choices, required=False)
    department = ChoiceParameter(choices=Department.choices, required=False)
    is_active = BooleanParameter(required=False)
    ordering = OrderingParameter(("username", "email", "last_name", "role", "id"), required=False)
