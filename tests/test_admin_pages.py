"""Pages of /admin/ and /manager/."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.accounts.sessions import new_session
from api.mail.outbox import MailDraft, enqueue
from api.models import AuditEntry, OutgoingMail, Session
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, browser_of, fields_of

SITES = [ADMIN, MANAGER]
MODELS = ["task", "property", "user", "session", "notification", "outgoingmail", "auditentry"]
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.mark.parametrize("site", SITES)
def test_every_page_responds_200(browsers, one_of_each, site):
    browser = browsers[site]
    browser.get("/admin/api/task/") if site == MANAGER else browser.get("/manager/")
    rows = dict(one_of_each)
    rows["notification"] = one_of_each["task"].notifications.get()
    rows["auditentry"] = AuditEntry.objects.create(event="logout", created_at=timezone.now())
    paths = ["/", "/api/", "/password_change/", *(f"/api/{model}/" for model in MODELS)]
    paths += [f"/api/{model}/{row.pk}/change/" for model, row in rows.items()]
    paths += [f"/api/{model}/add/" for model in ("task", "property", "user")]
    paths += [f"/api/{model}/{rows[model].pk}/delete/" for model in ("task", "property")]

    assert {path: browser.get(site + path).status_code for path in paths} == dict.fromkeys(paths, 200)
    session = Session.objects.get(user=browser.user)
    assert browser.get(f"{site}/api/session/{session.pk}/change/").status_code == 200
    assert browser.get(f"{site}/api/session/{session.pk}/history/").status_code == 404


@pytest.mark.parametrize("site", SITES)
def test_read_only_models_reject_changes(browsers, one_of_each, site):
    mail = one_of_each["outgoingmail"]
    browser = browsers[site]

    for model in ("outgoingmail", "auditentry", "notification", "session"):
        assert browser.get(f"{site}/api/{model}/add/").status_code == 403
    assert (
        browser.post(f"{site}/api/outgoingmail/{mail.pk}/change/", {"recipient": "eve@example.com"}).status_code == 403
    )
    assert browser.post(f"{site}/api/outgoingmail/{mail.pk}/delete/", {"post": "yes"}).status_code == 403
    assert OutgoingMail.objects.get().recipient == "ada@example.com"
    assert "Plain text" not in browser.get(f"{site}/api/outgoingmail/{mail.pk}/change/").content.decode()


def test_manager_site_hides_superusers(boss, root):
    pk = root.user.pk

    page = boss.get("/manager/api/user/?_facets=True").content.decode()
    assert "root" not in page
    assert "Superuser" not in page
    assert "Superuser" in root.get("/admin/api/user/").content.decode()
    for path in ("change", "delete", "password-reset", "history"):
        assert boss.get(f"/manager/api/user/{pk}/{path}/").status_code in {403, 404, 405}
    assert boss.post(f"/manager/api/user/{pk}/password-reset/").status_code == 404
    assert boss.get(f"/manager/api/user/{pk}/change/").status_code == 404
    matches = boss.get("/manager/autocomplete/?app_label=api&model_name=task&field_name=assigned_to&term=root")
    assert matches.json()["results"] == []
    root.post(f"/admin/api/user/{pk}/password/", {"new_password1": "weak", "new_password2": "weak"})
    root.post(f"/admin/api/user/{pk}/password-reset/")
    trail = boss.get("/manager/api/auditentry/").content.decode()
    assert ">root<" not in trail.partition("result_list")[2]


def add_rows_to_all_lists(number: int, reader: Any) -> None:
    """Add this number of rows to each list."""
    now = timezone.now()
    for _ in range(number):
        worker = factories.user(role="staff", last_login=now)
        task = factories.task(assigned_to=worker, due_date=now - timedelta(days=1))
        factories.notification(task, worker)
        enqueue(MailDraft(kind="test", recipient=worker.email, subject="Hello", text_body="Text", user_id=worker.pk))
        AuditEntry.objects.create(
            event="task_updated", actor_id=worker.pk, object_type="task", object_id=task.pk, created_at=now
        )
        new_session(reader, lifetime=timedelta(hours=1))


AUTHENTICATION_QUERIES = 3  # the session, the user and the Session row


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(
    ("path", "queries"),
    [
        *(("/", 2), ("/api/task/", 2), ("/api/property/", 2), ("/api/user/", 2), ("/api/session/", 2)),
        *(("/api/notification/", 2), ("/api/outgoingmail/", 3), ("/api/auditentry/", 3)),
    ],
)
def test_list_needs_as_many_queries_for_fifty_rows_as_for_one(browsers, site, path, queries):
    browser, counts = browsers[site], []
    for number in (1, 49):
        add_rows_to_all_lists(number, browser.user)
        with CaptureQueriesContext(connection) as captured:
            page = browser.get(site + path)
        assert page.status_code == 200
        counts.append(
            [query["sql"] for query in captured if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN"))]
        )

    assert "cl" not in page.context or len(page.context["cl"].result_list) >= 49
    assert [len(statements) - AUTHENTICATION_QUERIES for statements in counts] == [queries, queries], counts


def test_dashboard_shows_task_counts_and_denials(boss):
    boss.user.timezone = "Pacific/Auckland"
    boss.user.save()
    now = timezone.now()
    worker = factories.user(role="staff")
    factories.task(due_date=now - timedelta(days=2), assigned_to=worker)
    factories.task(due_date=now + timedelta(days=9))
    browser_of(worker).get("/manager/")
    page = boss.get("/manager/")

    dashboard = page.context["dashboard"]
    assert (dashboard.overdue, dashboard.due_today, dashboard.unassigned) == (1, 0, 1)
    assert [entry.actor_id for entry in dashboard.denials] == [worker.pk]
    assert "admin_access" in page.content.decode()


def test_task_filters_select_by_due_date_assignee_and_deletion(boss, settings):
    now = timezone.now()
    late = factories.task(title="late", due_date=now - timedelta(days=1), assigned_to=boss.user)
    factories.task(title="later", due_date=now + timedelta(days=30))
    gone = factories.task(title="gone", deleted_at=now)

    def listed(query):
        return {task.title for task in boss.get(f"/manager/api/task/?{query}").context["cl"].result_list}

    assert listed("") == {late.title, "later"}
    assert listed("due=overdue") == {late.title}
    assert listed("assigned=me") == {late.title}
    assert listed("assigned=none") == {"later"}
    assert listed("deleted=yes") == {gone.title}
    assert listed("q=later") == {"later"}


def test_open_tasks_are_listed_first(boss):
    now = timezone.now()
    factories.task(title="done", status="completed", due_date=now - timedelta(days=30))
    factories.task(title="late", due_date=now - timedelta(days=1))
    factories.task(title="soon", due_date=now + timedelta(days=1))

    tasks = boss.get("/manager/api/task/").context["cl"].result_list

    assert [task.title for task in tasks] == ["late", "soon", "done"]


def test_forms_reveal_no_hidden_rows(boss, one_of_each):
    hidden = factories.user(username="zebedee", first_name="Zebedee", role="superuser")
    gone = factories.property_(name="Gone house", deleted_at=timezone.now())
    form = {"title": "", "assigned_to": hidden.pk, "property": gone.pk, "owners": [hidden.pk]}

    pages = [
        boss.get("/manager/api/task/add/", {"assigned_to": hidden.pk, "property": gone.pk}),
        boss.get("/manager/api/property/add/", {"owners": hidden.pk}),
        boss.post("/manager/api/task/add/", form),
        boss.post("/manager/api/property/add/", form),
        boss.post("/manager/api/task/", {"action": "assign", "_selected_action": [1], "assigned_to": hidden.pk}),
    ]
    pages.append(boss.get("/manager/api/task/"))

    for page in pages:
        assert "zebedee" not in page.content.decode().lower()
        assert "Gone house" not in page.content.decode()


def test_form_keeps_a_current_choice_that_it_does_not_offer(boss):
    """A manager edits a task of a superuser, and a property of a disabled owner."""
    task = factories.task(title="Call", assigned_to=factories.user(role="superuser"))
    property_ = factories.property_(owners=(factories.user(role="viewer", is_active=False),))
    owners = list(property_.owners.all())
    for page, name in (
        (f"/manager/api/task/{task.pk}/change/", "title"),
        (f"/manager/api/property/{property_.pk}/change/", "name"),
    ):
        assert boss.post(page, fields_of(boss.get(page)) | {name: "Other"}).status_code == 302

    task.refresh_from_db()
    assert (task.title, task.assigned_to.role) == ("Other", "superuser")
    assert list(property_.owners.all()) == owners


def test_hostile_names_are_escaped(root):
    name = "\"'><img src=x onerror=alert(1)>"
    task = factories.task(title=name + " {{7*7}} \u202e", property=factories.property_(name=name))
    page = f"/admin/api/task/{task.pk}/change/"
    root.post(page, fields_of(root.get(page)) | {"title": name})

    for path in ("/admin/", "/admin/api/task/", page, f"/admin/api/task/{task.pk}/delete/", "/admin/api/auditentry/"):
        text = root.get(path).content.decode()
        assert "<img src=x" not in text
