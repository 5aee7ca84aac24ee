"""GET /api/health/: what a load balancer asks."""

import logging
from datetime import UTC, datetime

import orjson
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from backend.logging_config import API

logger = logging.getLogger(API)


def basic(request: HttpRequest) -> HttpResponse:
    """200 {status, timestamp, service, version} while the database answers, else 503; no word about the inside."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    healthy = _database_answers()
    body = {
        "status": "healthy" if healthy else "unhealthy",
        "timestamp": datetime.now(UTC).replace(microsecond=0),
        "service": settings.SERVICE_NAME,
        "version": settings.APP_VERSION,
    }
    content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return HttpResponse(content, status=200 if healthy else 503, headers=headers)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        logger.error("Database unavailable", exc_info=error, extra={"event": "database_unavailable"})
        return False
    return True
