"""The project as a Django app: registers the system checks and starts error tracking."""

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backend.environment.values import is_email_backend


class BackendConfig(AppConfig):
    name = "backend"

    def ready(self) -> None:
        # Importing the module registers its checks, which needs loaded apps.
        from backend import checks, sentry_config  # noqa: F401, PLC0415

        if not is_email_backend(settings.EMAIL_BACKEND):  # another package's backend may need complete settings
            raise ImproperlyConfigured("EMAIL_BACKEND must be the class of an email backend.")
        sentry_config.setup_sentry()
