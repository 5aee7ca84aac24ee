"""The WSGI entry point: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from backend.sentry_config import watched

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

application = watched(get_wsgi_application())
_ = get_resolver().url_patterns  # imports every view: else the first request to each worker waits for it
