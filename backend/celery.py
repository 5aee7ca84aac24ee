"""Celery for Cosmo: `celery -A backend worker` and `celery -A backend beat`, where a broker is configured."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

app = Celery("cosmo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["api"], related_name="jobs")


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Django has configured logging; a receiver keeps Celery from doing it anew."""
