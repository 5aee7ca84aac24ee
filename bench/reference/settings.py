"""A plain REST framework application on the same tables, to compare with Cosmo."""

from django.conf import global_settings

from backend.settings import *  # noqa: F403 - the same database, secrets and apps
from backend.settings import JWT_SIGNING_KEY

ROOT_URLCONF = "bench.reference.urls"
WSGI_APPLICATION = "bench.reference.wsgi.application"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
SIMPLE_JWT = {"SIGNING_KEY": JWT_SIGNING_KEY}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "PAGE_SIZE": 20,
}
