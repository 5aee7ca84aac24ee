from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class CosmoAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with our site as its default one, and nothing registered but what we do: groups are in no form."""

    default = False  # of this package, that is
    default_site = "api.admin_sites.sites.CosmoAdminSite"

    def ready(self) -> None:
        super().ready()
        import_module("api.admin")


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "Cosmo"

    def ready(self) -> None:
        # Those who listen to what others name, in every process.
        import_module("api.digests.service")
        import_module("api.notifications.services")
        import_module("api.accounts.browser_sessions")
        import_module("api.accounts.devices")
        import_module("api.accounts.password_reset")
