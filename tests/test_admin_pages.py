"""What the pages of /admin/ and /manager/ show."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.models import AuditEntry, OutgoingMail, Session
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, browser_of, fields_of

SITES = [ADMIN, MANAGER]
MODELS = ["task", "property", "user", "session", "notification", "outgoingmail", "auditentry"]
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.mark.parametrize("site", SITES)
def test_every_page_opens(browsers, one_of_each, site):
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
def test_what_is_read_only_cannot_be_made_changed_or_deleted(browsers, one_of_each, site):
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


def test_superusers_do_not_exist_for_managers(boss, root):
    pk = root.user.pk

    assert "root" not in boss.get("/manager/api/user/").content.decode()
    for path in ("change", "delete", "password-reset", "history"):
        assert boss.get(f"/manager/api/user/{pk}/{path}/").status_code in {403, 404, 405}
    assert boss.post(f"/manager/api/user/{pk}/password-reset/").status_code == 404
    assert boss.get(f"/manager/api/user/{pk}/change/").status_code == 404
    found = boss.get("/manager/autocomplete/?app_label=api&model_name=task&field_name=assigned_to&term=root")
    assert found.json()["results"] == []
    root.post(f"/admin/api/user/{pk}/password/", {"new_password1": "weak", "new_password2": "weak"})
    root.post(f"/admin/api/user/{pk}/password-reset/")
    trail = boss.get("/manager/api/auditentry/").content.decode()
    assert ">root<" not in trail.partition("result_list")[2]


@pytest.mark.parametrize(
    ("path", "limit"), [("/", 7), ("/api/task/", 10), ("/api/property/", 7), ("/api/user/", 7), ("/api/auditentry/", 8)]
)
def test_lists_cost_no_query_a_row(root, path, limit):
    counts = []
    for _ in range(2):
        for _ in range(8):
            factories.task(assigned_to=factories.user(role="staff"), due_date=timezone.now() - timedelta(days=1))
        with CaptureQueriesContext(connection) as queries:
            assert root.get(f"/admin{path}").status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1] <= limit


def test_the_start_page_says_what_needs_attention_in_two_queries(boss):
    boss.user.timezone = "Pacific/Auckland"
    boss.user.save()
    now = timezone.now()
    worker = factories.user(role="staff")
    factories.task(due_date=now - timedelta(days=2), assigned_to=worker)
    factories.task(due_date=now + timedelta(days=9))
    browser_of(worker).get("/manager/")
    with CaptureQueriesContext(connection) as queries:
        page = boss.get("/manager/")

    attention = page.context["attention"]
    assert (attention.overdue, attention.due_today, attention.unassigned) == (1, 0, 1)
    assert [entry.actor_id for entry in attention.denials] == [worker.pk]
    about_the_reader = [query for query in queries if "django_session" in query["sql"] or "api_session" in query["sql"]]
    assert len(queries) - len(about_the_reader) <= 2 + 1  # and the user


def test_filters_find_what_is_due_and_whose(boss, settings):
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


def test_what_is_open_stands_first(boss):
    now = timezone.now()
    factories.task(title="done", status="completed", due_date=now - timedelta(days=30))
    factories.task(title="late", due_date=now - timedelta(days=1))
    factories.task(title="soon", due_date=now + timedelta(days=1))

    shown = boss.get("/manager/api/task/").context["cl"].result_list

    assert [task.title for task in shown] == ["late", "soon", "done"]


def test_a_form_names_nobody_whom_the_site_does_not_show(boss, one_of_each):
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


def test_what_was_chosen_stays_chosen_though_one_could_not_choose_it(boss):
    """A superuser's task, which a manager corrects."""
    task = factories.task(title="Call", assigned_to=factories.user(role="superuser"))
    house = factories.property_(owners=(factories.user(role="viewer", is_active=False),))
    owners = list(house.owners.all())
    for page, name in (
        (f"/manager/api/task/{task.pk}/change/", "title"),
        (f"/manager/api/property/{house.pk}/change/", "name"),
    ):
        assert boss.post(page, fields_of(boss.get(page)) | {name: "Other"}).status_code == 302

    task.refresh_from_db()
    assert (task.title, task.assigned_to.role) == ("Other", "superuser")
    assert list(house.owners.all()) == owners


def test_names_that_attack_show_as_text(root):
    name = "\"'><img src=x onerror=alert(1)>"
    task = factories.task(title=name + " {{7*7}} \u202e", property=factories.property_(name=name))
    page = f"/admin/api/task/{task.pk}/change/"
    root.post(page, fields_of(root.get(page)) | {"title": name})

    for path in ("/admin/", "/admin/api/task/", page, f"/admin/api/task/{task.pk}/delete/", "/admin/api/auditentry/"):
        text = root.get(path).content.decode()
        assert "<img src=x" not in text
