"""Queries for sessions."""

from django.db.models import QuerySet
from django.utils import timezone

from api.accounts.models import Session
from api.users.models import User


def live_sessions(user: User) -> QuerySet[Session]:
    return user.sessions.filter(ended_at=None, expires_at__gt=timezone.now()).order_by("-last_seen_at")
