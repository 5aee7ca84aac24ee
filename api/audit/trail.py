"""The only functions that write audit events."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from django.db import models, transaction
from django.dispatch import Signal
from django.utils import timezone

from api.audit import events
from api.audit.models import AuditEntry
from backend import request_context
from backend.logs.throttling import event_throttle
from backend.redaction import redact, redact_text

Changes = Mapping[str, list[Any]]  # {field: [old, new]}

# Sent with event, actor, target and changes, in the transaction of the change.
audit_event_recorded = Signal()


class Actor(Protocol):
    """The user who performs an action."""

    @property
    def pk(self) -> Any: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> str: ...


def record(
    event: events.Event,
    *,
    actor: Actor | None,
    target: models.Model | None = None,
    changes: Changes | None = None,
    detail: str = "",
    message: str = "",
    facts: Mapping[str, Any] | None = None,
    by_administrator: bool = False,
) -> None:
    """Write the audit entry in the caller's transaction, and the log line on commit.

    - `actor` is None for unauthenticated requests and for jobs.
    - `message` (default: the event's label) and `facts` appear in the log line only.
    - `by_administrator` sends the log line to `api.admin`.

    Request id, IP address and user agent come from the current request.
    """
    context = request_context.current()
    entry = AuditEntry.objects.create(
        event=event,
        actor_id=actor.pk if actor else None,
        actor_label=actor_label(actor) if actor or context is None else "not signed in",
        object_type=(target._meta.model_name or "") if target else "",
        object_id=target.pk if target else None,
        object_label=redact_text(str(target))[:200] if target else "",
        changes=redact(changes or {}, max_text=20_000, max_items=1_000),
        detail=redact_text(detail)[:200],
        request_id=context.request_id if context else "",
        ip_address=context.ip_address if context else None,
        user_agent=context.user_agent if context else "",
        created_at=timezone.now(),
    )
    if event is events.Event.PERMISSION_DENIED and context is not None:
        context.is_denial_logged = True
    if (property_id := getattr(target, "property_id", None)) is not None:
        facts = {"property_id": property_id, **(facts or {})}
    audit_event_recorded.send(sender=AuditEntry, event=event, actor=actor, target=target, changes=changes or {})
    transaction.on_commit(partial(_log, event, entry, actor, message, facts or {}, by_administrator))


def log_summarized(event: events.Event, *, reason: str) -> None:
    """Write only a log line, summarized by the event throttle, for an event that anyone can cause without limit."""
    context = request_context.current()
    extra = {
        "event": event.value,
        "user_id": None,
        "user_role": None,
        "ip_address": context.ip_address if context else None,
        "user_agent": context.user_agent if context else "",
        "security_event": event.value,
        "security_category": events.category(event),
        "reason": reason,
    }
    event_throttle.log(events.level(event), event.label, route=context.route if context else None, extra=extra)


def actor_label(actor: Actor | None) -> str:
    """Return the name of an actor for the audit trail; it stays valid if the account is deleted."""
    return f"{actor.username} ({actor.role})" if actor else "system"


def _log(
    event: events.Event,
    entry: AuditEntry,
    actor: Actor | None,
    message: str,
    facts: Mapping[str, Any],
    by_administrator: bool,  # noqa: FBT001
) -> None:
    extra: dict[str, Any] = {
        "event": event.value,
        "user_id": entry.actor_id,
        "user_role": actor.role if actor else None,
        "ip_address": entry.ip_address,
        "user_agent": entry.user_agent,
    }
    if event in events.LOGGED_WITH_CHANGES:
        extra["changes"] = entry.changes
    if entry.detail:
        extra["detail"] = entry.detail
    if entry.object_type:
        extra["target_user_id" if entry.object_type == "user" else f"{entry.object_type}_id"] = entry.object_id
    if events.category(event):
        extra |= {"security_event": event.value, "security_category": events.category(event)}
    if event is events.Event.PERMISSION_DENIED:
        extra["attempted_action"] = extra.pop("detail")
        message = message or f"{event.label}: {entry.detail}"
    logger = logging.getLogger(events.logger_name(event, by_administrator=by_administrator))
    logger.log(events.level(event), message or event.label, extra=extra | dict(facts))
