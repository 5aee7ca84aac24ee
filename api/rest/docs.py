"""The OpenAPI document and its Swagger page: public in development, otherwise for authenticated users."""

from typing import ClassVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from api.common.rules import PUBLIC


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Document BearerAuthentication. drf-spectacular registers the class because it is a subclass."""

    target_class = "api.accounts.authentication.BearerAuthentication"
    name = "Bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


_RULE = PUBLIC if settings.DJANGO_ENVIRONMENT == "development" else "docs.read"


class SchemaView(SpectacularAPIView):
    """The OpenAPI document."""

    rules: ClassVar = {"get": _RULE}
    api_version = settings.APP_VERSION  # fixed: clients cannot set it with ?version=
    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer]


class DocsView(SpectacularSwaggerSplitView):
    """The Swagger page. Script and styles are separate files, as the strict Content-Security-Policy requires."""

    rules: ClassVar = {"get": _RULE}
    template_name = "api/docs.html"
    url_name = "schema"
