"""The OpenAPI document and the page to try it: for anyone in development, else for whoever is signed in."""

from typing import ClassVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from api.common.rules import PUBLIC


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells the document how BearerAuthentication is used; found by being a subclass."""

    target_class = "api.accounts.authentication.BearerAuthentication"
    name = "Bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


_RULE = PUBLIC if settings.DJANGO_ENVIRONMENT == "development" else "docs.read"


class SchemaView(SpectacularAPIView):
    rules: ClassVar = {"get": _RULE}
    api_version = settings.APP_VERSION  # not the client's to choose
    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer]


class DocsView(SpectacularSwaggerSplitView):
    """Its script and its styles are files of their own, so that it lives with a strict Content-Security-Policy."""

    rules: ClassVar = {"get": _RULE}
    template_name = "api/docs.html"
    url_name = "schema"
