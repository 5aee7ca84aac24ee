"""The project as a Django app: system checks and error tracking start with it."""

from django.apps import AppConfig


class BackendConfig(AppConfig):
    name = "backend"

    def ready(self) -> None:
        # Importing the module registers its checks, which is possible from here on.
        from backend import checks, sentry_config  # noqa: F401, PLC0415

        sentry_config.setup_sentry()
