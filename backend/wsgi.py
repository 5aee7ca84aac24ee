"""The WSGI entry point: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

from backend.sentry_config import watched

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

application = watched(get_wsgi_application())
