"""All addresses of Cosmo; the only module of the project that knows the product."""

from django.urls import include, path, register_converter
from django.views.generic import RedirectView

from backend import health
from backend.converters import IdConverter

register_converter(IdConverter, "id")

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/"), name="home"),
    path("api/health/", health.basic, name="health"),
    path("api/", include("api.urls")),
]
