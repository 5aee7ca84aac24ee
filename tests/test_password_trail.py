"""Each password step writes one audit event and one log line with actor, target and IP address."""

import pytest
from django.test import Client

from api.mail.delivery import deliver_due
from api.models import AuditEntry, User
from tests import factories
from tests.admin_sites import act, browser_of, fields_of

NEW = "a new and longer passphrase"
TWICE = {"new_password1": NEW, "new_password2": NEW}
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_leaves")]
AGENT = {"user-agent": "Mozilla/5.0"}


@pytest.fixture(autouse=True)
def _mails_in_memory(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def users(db) -> dict[str, User]:
    """Return the users by their names in TABLE."""
    return {
        "root": factories.user(username="root", role="superuser"),
        "boss": factories.user(username="boss", role="manager"),
        "ada": factories.user(username="ada", role="staff"),
    }


@pytest.fixture
def steps(users, mailoutbox):
    root, boss = browser_of(users["root"], headers=AGENT), browser_of(users["boss"], headers=AGENT)
    anonymous, ada = Client(headers=AGENT), users["ada"]
    page, managers_page = f"/admin/api/user/{ada.pk}", f"/manager/api/user/{ada.pk}"

    def send(browser, path, **values):
        assert browser.post(path, values).status_code in {200, 302, 403}

    def follow_link(password: str):
        anonymous.post("/accounts/password-reset/", {"email": ada.email})
        deliver_due()
        link = next(word for word in mailoutbox[-1].body.split() if "/confirm/" in word)
        uid, token = link.strip("/").split("/")[-2:]
        body = {"uid": uid, "token": token, "new_password": password}
        anonymous.post("/api/auth/password/reset/confirm/", body, "application/json")

    def own_change():
        send(boss, "/manager/password_change/", current_password=factories.PASSWORD, **TWICE)

    return {
        "direct change": lambda: send(root, f"{page}/password/", **TWICE),
        "own change": own_change,
        "requested by the user": lambda: send(anonymous, "/accounts/password-reset/", email=ada.email),
        "requested by the button": lambda: send(boss, f"{managers_page}/password-reset/"),
        "requested in bulk": lambda: act(boss, "/manager", "user", "send_reset_email", ada),
        "sent for the user": lambda: (send(anonymous, "/accounts/password-reset/", email=ada.email), deliver_due()),
        "sent by the button": lambda: (send(root, f"{page}/password-reset/"), deliver_due()),
        "sent in bulk": lambda: (act(boss, "/manager", "user", "send_reset_email", ada), deliver_due()),
        "completed": lambda: follow_link(NEW),
        "too weak": lambda: follow_link("short"),
        "blocked": lambda: send(boss, f"{managers_page}/password/", **TWICE),
        "sessions ended": lambda: send(root, f"{page}/end-sessions/"),
        "role changed": lambda: root.post(
            f"{page}/change/", fields_of(root.get(f"{page}/change/")) | {"role": "manager"}
        ),
    }


# The event of each step, its logger and level, its actor and its target.
TABLE = {
    "direct change": ("password_changed", "api.admin", "INFO", "root", "ada"),
    "own change": ("password_changed", "api.security", "INFO", "boss", "boss"),
    "requested by the user": ("password_reset_requested", "api.security", "INFO", None, "ada"),
    "requested by the button": ("password_reset_requested", "api.admin", "INFO", "boss", "ada"),
    "requested in bulk": ("password_reset_requested", "api.admin", "INFO", "boss", "ada"),
    "sent for the user": ("password_reset_email_sent", "api.security", "INFO", None, "ada"),
    "sent by the button": ("password_reset_email_sent", "api.admin", "INFO", "root", "ada"),
    "sent in bulk": ("password_reset_email_sent", "api.admin", "INFO", "boss", "ada"),
    "completed": ("password_reset_completed", "api.security", "INFO", "ada", "ada"),
    "too weak": ("password_reset_failed", "api.security", "WARNING", None, "ada"),
    "blocked": ("permission_denied", "api.admin", "WARNING", "boss", "ada"),
    "sessions ended": ("session_ended", "api.admin", "INFO", "root", "ada"),
    "role changed": ("role_changed", "api.admin", "INFO", "root", "ada"),
}


@pytest.mark.parametrize("step", TABLE)
def test_password_step_writes_one_audit_event_and_one_log_line(steps, users, logs, step):
    event, logger, level, actor_name, target_name = TABLE[step]
    actor, target = users.get(actor_name or ""), users[target_name]

    steps[step]()

    row = AuditEntry.objects.get(event=event)
    assert (row.actor_id, row.object_type, row.object_id) == (actor and actor.pk, "user", target.pk)
    line = logs.entry("security", event=event)
    assert (line["logger"], line["level"]) == (logger, level)
    assert (line["user_id"], line["target_user_id"]) == (actor and actor.pk, target.pk)
    assert line["user_role"] == (actor and actor.role)
    assert (line["ip_address"], line["user_agent"]) == (row.ip_address, row.user_agent) == ("127.0.0.1", "Mozilla/5.0")
    assert len(logs.entries("info", event=event)) == (logger == "api.admin")
    assert line.get("attempted_action") == ("password_change" if step == "blocked" else None)
