"""Security records about a request and its response: attack patterns and rejections."""

import logging
from typing import Any

from backend.logging_config import SECURITY
from backend.logs import throttling
from backend.request_context import RequestContext

logger = logging.getLogger(SECURITY)

CATEGORIES = {
    "suspicious_pattern": "potential_attack",
    "authentication_required": "authentication",
    "rate_limit_exceeded": "abuse_prevention",
    "permission_denied": "authorization",
}


def log_security_events(context: RequestContext, pattern: str | None, status: int) -> None:
    """Log an attack pattern and a rejection; one record at most if an anonymous request was rejected.

    Requests without a login must not fill the disk.
    """
    context.note_response(status)
    is_logged = status == 400 and bool(context.rejection_reason)  # Django has logged a suspicious operation
    if pattern and not (is_logged and context.is_anonymous_rejection):
        _log(context, logging.WARNING, "Suspicious request", "suspicious_pattern", pattern=pattern, status_code=status)
    if not (pattern and context.is_anonymous_rejection):
        _log_rejection(context, status)


def _log_rejection(context: RequestContext, status: int) -> None:
    if status == 401:
        _log(context, logging.INFO, "Authentication required", "authentication_required")
    elif status == 429:
        _log(context, logging.WARNING, "Rate limit exceeded", "rate_limit_exceeded")
    elif status == 403 and not context.is_denial_logged:
        # The audit trail logs denials by the rules; this is for all others, such as a missing CSRF token.
        extra = _build_extra(context, "permission_denied") | {"attempted_action": "request"}
        if context.rejection_reason:
            extra["reason"] = context.rejection_reason
        logger.warning("Permission denied: request refused", extra=extra)


def _log(context: RequestContext, level: int, message: str, event: str, **fields: Any) -> None:
    throttling.event_throttle.log(level, message, route=context.route, extra=_build_extra(context, event) | fields)


def _build_extra(context: RequestContext, event: str) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "event": event,
        "security_event": event,
        "security_category": CATEGORIES[event],
        "ip_address": context.ip_address,
    }
    if not context.is_anonymous_rejection:  # their lines are short; the request block has both fields
        extra |= {"user_id": context.user_id, "user_agent": context.user_agent}
    return extra
