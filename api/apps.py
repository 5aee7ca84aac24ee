from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class CosmoAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with CosmoAdminSite as default site and without autodiscovery."""

    default = False  # the default app of this package is ApiConfig
    default_site = "api.admin_sites.sites.CosmoAdminSite"

    def ready(self) -> None:
        super().ready()
        import_module("api.admin")


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "Cosmo"

    def ready(self) -> None:
        # Connect signal receivers and renderers in every process.
        import_module("api.digests.service")
        import_module("api.notifications.services")
        import_module("api.accounts.browser_sessions")
        import_module("api.accounts.devices")
        import_module("api.accounts.password_reset")
