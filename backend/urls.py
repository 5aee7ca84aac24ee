"""All URLs of Cosmo; the only module in backend/ that imports api/."""

from django.contrib import admin
from django.urls import include, path, register_converter
from django.views.generic import RedirectView

from api.managersite import manager_site
from api.operations.views import MetricsView
from backend import health
from backend.http.converters import IdConverter

register_converter(IdConverter, "id")

handler400 = "backend.http.error_pages.bad_request"
handler403 = "backend.http.error_pages.permission_denied"
handler404 = "backend.http.error_pages.page_not_found"
handler500 = "backend.http.error_pages.server_error"

urlpatterns = [
    path("", RedirectView.as_view(url="/api/docs/", http_method_names=["get", "head"]), name="home"),
    path("api/health/", health.view, name="health"),
    path("api/health/live/", health.view, name="health-live"),
    path("api/health/ready/", health.view, name="health-ready"),
    path("api/", include("api.urls")),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("admin/", admin.site.urls),
    path("manager/", manager_site.urls),
    path("", include("api.accounts.urls")),
]
