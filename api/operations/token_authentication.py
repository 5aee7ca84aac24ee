"""Programs that prove themselves with a token of the environment instead of an account."""

from typing import ClassVar

from django.conf import settings
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from api.accounts.authentication import BearerAuthentication, bearer_token
from api.common.choices import Role


class ServiceAccount:
    """Whoever has the token; sees what a superuser sees of this one address."""

    is_authenticated = is_active = True
    pk = None
    username = "token"
    role = Role.SUPERUSER
    department = ""


class _TokenAuthentication(BaseAuthentication):
    setting: ClassVar[str]

    def authenticate(self, request: Request) -> tuple[ServiceAccount, None] | None:
        token = getattr(settings, self.setting)
        given = bearer_token(request)
        if not token or given is None or not constant_time_compare(given, token):
            return None
        return ServiceAccount(), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class HealthTokenAuthentication(_TokenAuthentication):
    setting = "HEALTH_TOKEN"


class MetricsTokenAuthentication(_TokenAuthentication):
    setting = "METRICS_TOKEN"


USER_AUTHENTICATION = (BearerAuthentication, SessionAuthentication)
