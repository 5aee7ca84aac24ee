"""The WSGI entry point: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from backend.environment.variables import exit_on_invalid_settings
from backend.sentry_config import wrap_wsgi

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

WORKER_BOOT_ERROR = 3  # gunicorn stops; with another status it would restart the worker forever

with exit_on_invalid_settings(WORKER_BOOT_ERROR):
    application = wrap_wsgi(get_wsgi_application())
_ = get_resolver().url_patterns  # imports every view now instead of during a worker's first request
