"""Authentication of programs with a service token instead of an account."""

from typing import ClassVar

from django.conf import settings
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from api.accounts.authentication import BearerAuthentication, bearer_token
from api.common.choices import Role


class ServiceAccount:
    """The user of a request with a service token. It has a superuser's permissions on this endpoint."""

    is_authenticated = is_active = True
    pk = None
    username = "token"
    role = Role.SUPERUSER
    department = ""


class _TokenAuthentication(BaseAuthentication):
    setting: ClassVar[str]  # name of the setting with the token

    def authenticate(self, request: Request) -> tuple[ServiceAccount, None] | None:
        expected = getattr(settings, self.setting)
        token = bearer_token(request)
        if not expected or token is None or not constant_time_compare(token, expected):
            return None
        return ServiceAccount(), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class HealthTokenAuthentication(_TokenAuthentication):
    setting = "HEALTH_TOKEN"


class MetricsTokenAuthentication(_TokenAuthentication):
    setting = "METRICS_TOKEN"


USER_AUTHENTICATION = (BearerAuthentication, SessionAuthentication)
