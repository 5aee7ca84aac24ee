"""Request and response bodies of /api/auth/."""

from typing import Any

from rest_framework import serializers

from api.accounts.models import Session
from api.rest.fields import StrictCharField
from api.rest.serializers import StrictSerializer
from api.users.login_names import LOGIN_MAX_LENGTH
from api.users.serializers import UserSerializer, password_field


class LoginSerializer(StrictSerializer):
    username = StrictCharField(max_length=LOGIN_MAX_LENGTH, help_text="A username or an email address.")
    password = password_field()


class RefreshSerializer(StrictSerializer):
    refresh = StrictCharField(max_length=2000)


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class SignedInSerializer(TokensSerializer):
    user = UserSerializer()


class PasswordChangeSerializer(StrictSerializer):
    current_password = password_field()
    new_password = password_field(help_text="12 to 128 characters.")


class ResetRequestSerializer(StrictSerializer):
    email = StrictCharField(max_length=LOGIN_MAX_LENGTH)


class ResetRequestedSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


class ResetConfirmSerializer(StrictSerializer):
    uid = StrictCharField(max_length=64)
    token = StrictCharField(max_length=128)
    new_password = password_field()


class SessionSerializer(serializers.ModelSerializer[Session]):
    device = serializers.CharField(source="user_agent")
    since = serializers.DateTimeField(source="started_at")
    last_seen = serializers.DateTimeField(source="last_seen_at", help_text="Time of the last token refresh.")
    is_current = serializers.SerializerMethodField()

    class Meta:
        model = Session
        fields = ("id", "ip_address", "device", "since", "last_seen", "is_current")

    def get_is_current(self, session: Session) -> bool:
        return bool(session == self.context["current"])


class MeSerializer(UserSerializer):
    denied_fields = ("username", "role", "department", "is_active", "password")
    denied_action = "users.edit"

    current_password = password_field(required=False, help_text="Required to change the email address.")

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "current_password")  # type: ignore[assignment]
        read_only_fields = ("id", "username", "role", "department", "is_active")  # type: ignore[assignment]
