"""Forms and bulk actions of /admin/ and /manager/."""

import csv
import io
import json

import pytest
from django.utils import timezone

from api.models import AuditEntry, OutgoingMail, Property, Task, User
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, act, fields_of, messages_of

SITES = [ADMIN, MANAGER]
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.mark.parametrize("site", SITES)
def test_task_admin_creates_changes_and_deletes_through_services(browsers, one_of_each, site):
    browser, property_, worker = browsers[site], one_of_each["property"], one_of_each["user"]
    first = one_of_each["task"]
    values = fields_of(browser.get(f"{site}/api/task/add/")) | {
        "title": "Towels",
        "task_type": "laundry",
        "property": property_.pk,
        "assigned_to": worker.pk,
        "due_date_0": "2030-05-31",
        "due_date_1": "09:00:00",
        "dependencies": [first.pk],
    }

    made = browser.post(f"{site}/api/task/add/", values, follow=True)

    task = Task.objects.get(title="Towels")
    assert "was added successfully" in messages_of(made)[0]
    assert (task.created_by, task.due_date.isoformat()) == (browser.user, "2030-05-31T13:00:00+00:00")  # New York
    assert list(task.depends_on.all()) == [first]
    page = f"{site}/api/task/{task.pk}/change/"
    browser.post(page, fields_of(browser.get(page)) | {"title": "All towels"})
    entry = AuditEntry.objects.get(event="task_updated")
    assert (entry.actor_id, entry.changes) == (browser.user.pk, {"title": ["Towels", "All towels"]})
    assert "Towels → All towels" in browser.get(page).content.decode()
    browser.post(f"{site}/api/task/{task.pk}/delete/", {"post": "yes"})
    task.refresh_from_db()
    assert task.deleted_at is not None
    assert AuditEntry.objects.filter(event="task_deleted", object_id=task.pk).exists()


def test_bulk_actions_report_the_result_for_each_row(boss, one_of_each):
    worker = one_of_each["user"]
    one, two = factories.task(title="one"), factories.task(title="two", status="completed")

    assert act(boss, MANAGER, "task", "assign", one, two, assigned_to=worker.pk) == [
        f"One: assigned to {worker}.",
        "Two: not done. The task is completed; reopen it first.",
    ]
    nobody = ["Nothing was assigned. Choose a user next to the action."]
    assert act(boss, MANAGER, "task", "assign", one) == nobody
    assert act(boss, MANAGER, "task", "assign", one, assigned_to=factories.user(role="superuser").pk) == nobody
    assert act(boss, MANAGER, "task", "assign", one, assigned_to="x") == ["No action selected."]
    one.refresh_from_db()
    assert one.assigned_to == worker
    assert act(boss, MANAGER, "task", "unassign", one) == ["One: unassigned."]
    assert act(boss, MANAGER, "task", "start", one) == ["One: started."]
    assert act(boss, MANAGER, "task", "complete", one, two) == [
        "One: completed.",
        "Two: not done. The task is completed; it can become pending.",
    ]
    assert act(boss, MANAGER, "task", "reopen", two) == ["Two: reopened."]
    assert act(boss, MANAGER, "task", "cancel", two) == ["Two: canceled."]
    assert act(boss, MANAGER, "task", "restore", one) == [
        "One: not done. The object does not exist or needs no change."
    ]
    assert act(boss, MANAGER, "task", "delete_selected", one, post="yes") == ["Successfully deleted 1 task."]
    assert Task.objects.get(pk=one.pk).deleted_at is not None


def test_restore_action_restores_deleted_rows(boss):
    task = factories.task(title="one", deleted_at=timezone.now())
    body = {"action": "restore", "_selected_action": [task.pk]}

    page = boss.post("/manager/api/task/?deleted=yes", body, follow=True)

    assert messages_of(page) == ["One: restored."]
    task.refresh_from_db()
    assert task.deleted_at is None


def test_property_admin_creates_with_owners_and_deletes(boss):
    owner = factories.user(role="viewer")
    values = fields_of(boss.get("/manager/api/property/add/")) | {
        "name": "Loft",
        "address": "Quay",
        "owners": [owner.pk],
    }

    boss.post("/manager/api/property/add/", values)

    property_ = Property.objects.get(name="Loft")
    assert list(property_.owners.all()) == [owner]
    boss.post(f"/manager/api/property/{property_.pk}/delete/", {"post": "yes"})
    property_.refresh_from_db()
    assert property_.deleted_at is not None


def test_user_created_by_a_manager_gets_an_invitation(boss):
    values = fields_of(boss.get("/manager/api/user/add/")) | {
        "username": "ada",
        "email": "ada@example.com",
        "role": "staff",
    }

    boss.post("/manager/api/user/add/", values)

    ada = User.objects.get(username="ada")
    assert not ada.has_usable_password()
    mail = OutgoingMail.objects.get(kind="invitation")
    assert (mail.recipient, mail.asked_by_name) == ("ada@example.com", "boss")


def test_superuser_creates_a_user_with_a_password(root):
    values = fields_of(root.get("/admin/api/user/add/")) | {
        "username": "ada",
        "email": "ada@example.com",
        "role": "manager",
        "password": "weak",
    }
    page = root.post("/admin/api/user/add/", values)
    assert "Use at least 12 characters" in page.content.decode()
    like_her_name = root.post("/admin/api/user/add/", values | {"password": "ada@example.com"})
    assert "too similar to the email" in like_her_name.content.decode()

    root.post("/admin/api/user/add/", values | {"password": factories.PASSWORD})

    ada = User.objects.get(username="ada")
    assert ada.check_password(factories.PASSWORD)
    assert (ada.role, ada.is_staff, ada.is_superuser) == ("manager", True, False)
    assert not OutgoingMail.objects.exists()


@pytest.mark.parametrize("site", SITES)
def test_duplicate_name_is_rejected_next_to_its_field(browsers, one_of_each, site, logs):
    browser, worker = browsers[site], one_of_each["user"]
    twin = {"username": worker.username.upper(), "email": worker.email.upper(), "role": "staff"}
    user_page = browser.post(f"{site}/api/user/add/", fields_of(browser.get(f"{site}/api/user/add/")) | twin)
    property_page = browser.post(
        f"{site}/api/property/add/",
        fields_of(browser.get(f"{site}/api/property/add/")) | {"name": one_of_each["property"].name, "address": "x"},
    )

    assert user_page.context["adminform"].form.errors == {
        "username": ["Another user has this already."],
        "email": ["Another user has this already."],
    }
    assert property_page.context["adminform"].form.errors == {"name": ["Another property has this name."]}
    assert {"field": "email", "code": "unique"} in logs.entries("info", event="form_validation")[0]["refused"]


def test_bulk_actions_deactivate_and_activate_users(boss, one_of_each):
    worker, other = one_of_each["user"], factories.user(username="other", role="manager")

    shown_messages = act(boss, MANAGER, "user", "deactivate", worker, other)

    assert sorted(shown_messages) == ["Other: not done. Your role does not allow this.", "Worker: deactivated."]
    assert list(User.objects.filter(is_active=False)) == [worker]
    assert AuditEntry.objects.filter(event="permission_denied", object_id=other.pk).exists()
    assert act(boss, MANAGER, "user", "activate", worker) == ["Worker: activated."]


def test_user_with_tasks_or_sessions_cannot_be_erased_and_the_page_explains_it(root, one_of_each):
    page = root.get(f"/admin/api/user/{one_of_each['user'].pk}/delete/")
    assert "Disable the account instead" in page.content.decode()
    root.post(f"/admin/api/user/{one_of_each['user'].pk}/delete/", {"post": "yes"})
    assert User.objects.filter(pk=one_of_each["user"].pk).exists()

    nobody = factories.user(username="nobody", role="staff")
    root.post(f"/admin/api/user/{nobody.pk}/delete/", {"post": "yes"})

    assert not User.objects.filter(pk=nobody.pk).exists()
    assert AuditEntry.objects.get(event="user_deleted").object_label == "nobody"


def test_last_superuser_cannot_be_deactivated_in_the_admin(root):
    page = f"/admin/api/user/{root.user.pk}/change/"
    response = root.post(page, fields_of(root.get(page)) | {"role": "manager"}, follow=True)

    assert messages_of(response) == ["This is the last active superuser. Make another user a superuser first."]
    root.user.refresh_from_db()
    assert root.user.role == "superuser"


def test_retry_action_queues_a_failed_email(boss, one_of_each):
    mail = one_of_each["outgoingmail"]
    assert act(boss, MANAGER, "outgoingmail", "try_again", mail)[0].endswith(
        "Only failed emails and emails that may not have arrived can be retried."
    )
    OutgoingMail.objects.update(state="failed", attempts=7)

    assert act(boss, MANAGER, "outgoingmail", "try_again", mail)[0].endswith(": queued again.")

    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == ("queued", 0)


@pytest.mark.parametrize(
    "cell", ["@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "  =1+1", "\u00a0=1+1", "\uff1d1+1", "\uff20SUM(A1)", "\ufe62x"]
)
def test_audit_export_contains_no_formula(root, cell):
    entry = AuditEntry.objects.create(
        event="task_updated",
        actor_label="=1+1",
        object_label=cell,
        detail="-2",
        changes={"title": ["a", "b"]},
        created_at=timezone.now(),
    )

    response = root.post("/admin/api/auditentry/", {"action": "export", "_selected_action": [entry.pk]})

    text = b"".join(response.streaming_content).decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["actor_label"], row["object_label"], row["detail"]) == ("'=1+1", f"'{cell}", "'-2")
    assert json.loads(row["changes"]) == {"title": ["a", "b"]}


def test_invalid_form_is_logged_without_its_values(root, logs):
    values = fields_of(root.get("/admin/api/user/add/")) | {
        "username": "white space",
        "email": "not an address",
        "password": "geheim",
    }

    root.post("/admin/api/user/add/", values)

    entry = logs.entry("info", event="form_validation")
    assert {"field": "email", "code": "invalid"} in entry["refused"]
    assert {"field": "password", "code": "weak_password"} in entry["refused"]
    assert "geheim" not in logs.text()
    assert "white space" not in logs.text()


def test_each_signed_in_request_is_logged_as_admin_access(boss, logs):
    boss.get("/manager/api/task/")

    entry = logs.entry("security", event="admin_access")
    assert (entry["user_id"], entry["user_role"], entry["request"]["path"]) == (
        boss.user.pk,
        "manager",
        "/manager/api/task/",
    )
