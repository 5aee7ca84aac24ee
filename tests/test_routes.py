"""Every route for every role: the expected statuses of the permissions table."""

import subprocess
import sys
import uuid

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from api.accounts.unsubscribe import MailingList, unsubscribe_url
from api.common.choices import Role
from tests import factories
from tests.conftest import client_of
from tests.live.server import PROJECT, environment

# Statuses for anonymous, viewer, staff, manager and superuser. The viewer owns {property}; {task} belongs to it and is
# assigned to the staff user. "other" objects are unrelated to both. The test fails for routes that are missing here.
EXPECTED = """
GET    /                                    302 302 302 302 302
GET    /api/health/                         200 200 200 200 200
GET    /api/health/live/                    200 200 200 200 200
GET    /api/health/ready/                   200 200 200 200 200
GET    /api/health/detailed/                401 403 403 200 200
GET    /metrics                             401 403 403 403 200
GET    /api/schema/                         401 200 200 200 200
GET    /api/docs/                           401 200 200 200 200
POST   /api/auth/login/                     400 400 400 400 400
POST   /api/auth/refresh/                   400 400 400 400 400
POST   /api/auth/logout/                    401 204 204 204 204
POST   /api/auth/logout-all/                401 204 204 204 204
GET    /api/auth/sessions/                  401 200 200 200 200
DELETE /api/auth/sessions/{session}/        401 404 404 404 404
GET    /api/auth/me/                        401 200 200 200 200
PATCH  /api/auth/me/                        401 200 200 200 200
POST   /api/auth/password/change/           401 400 400 400 400
POST   /api/auth/password/reset/            400 400 400 400 400
POST   /api/auth/password/reset/confirm/    400 400 400 400 400
GET    /api/tasks/                          401 200 200 200 200
POST   /api/tasks/                          401 403 403 400 400
GET    /api/tasks/summary/                  401 200 200 200 200
GET    /api/tasks/{task}/                   401 200 200 200 200
PATCH  /api/tasks/{task}/                   401 403 403 200 200
DELETE /api/tasks/{task}/                   401 403 403 204 204
POST   /api/tasks/{task}/status/            401 403 400 400 400
POST   /api/tasks/{task}/assign/            401 403 403 400 400
POST   /api/tasks/{task}/claim/             401 403 409 409 409
POST   /api/tasks/{task}/restore/           401 403 403 409 409
GET    /api/tasks/{task}/history/           401 200 200 200 200
GET    /api/tasks/{other_task}/             401 404 404 200 200
PATCH  /api/tasks/{other_task}/             401 404 404 200 200
DELETE /api/tasks/{other_task}/             401 404 404 204 204
POST   /api/tasks/{other_task}/status/      401 404 404 400 400
POST   /api/tasks/{other_task}/assign/      401 404 404 400 400
POST   /api/tasks/{other_task}/claim/       401 404 404 200 200
POST   /api/tasks/{other_task}/restore/     401 404 404 409 409
GET    /api/tasks/{other_task}/history/     401 404 404 200 200
POST   /api/tasks/{deleted_task}/restore/   401 404 404 200 200
GET    /api/tasks/{deleted_task}/           401 404 404 404 404
POST   /api/tasks/{open_task}/claim/        401 404 200 200 200
GET    /api/properties/                     401 200 200 200 200
POST   /api/properties/                     401 403 403 400 400
GET    /api/properties/{property}/             401 200 200 200 200
PATCH  /api/properties/{property}/             401 403 403 200 200
DELETE /api/properties/{property}/             401 403 403 204 204
POST   /api/properties/{property}/restore/     401 403 403 409 409
GET    /api/properties/{other_property}/       401 404 404 200 200
PATCH  /api/properties/{other_property}/       401 404 404 200 200
DELETE /api/properties/{other_property}/       401 404 404 204 204
POST   /api/properties/{deleted_property}/restore/ 401 404 404 200 200
POST   /api/digests/preview/                401 200 200 200 200
GET    /api/notifications/                  401 200 200 200 200
GET    /api/notifications/unread-count/     401 200 200 200 200
POST   /api/notifications/read-all/         401 200 200 200 200
POST   /api/notifications/{own_notification}/read/   401 404 200 404 404
POST   /api/notifications/{other_notification}/read/ 401 404 404 404 404
GET    /unsubscribe/{unsubscribe}/          200 200 200 200 200
POST   /unsubscribe/{unsubscribe}/          200 200 200 200 200
GET    /api/users/                          401 200 200 200 200
POST   /api/users/                          401 403 403 400 400
GET    /api/users/{self}/                   401 200 200 200 200
PATCH  /api/users/{self}/                   401 200 200 200 200
DELETE /api/users/{self}/                   401 403 403 403 204
GET    /api/users/{other_staff}/            401 404 404 200 200
PATCH  /api/users/{other_staff}/            401 404 404 200 200
DELETE /api/users/{other_staff}/            401 404 404 204 204
GET    /api/users/{other_manager}/          401 404 404 200 200
PATCH  /api/users/{other_manager}/          401 404 404 403 200
DELETE /api/users/{other_manager}/          401 404 404 403 204
POST   /api/users/{self}/password-reset/        401 403 403 202 202
POST   /api/users/{other_staff}/password-reset/ 401 404 404 202 202
POST   /api/users/{other_superuser}/password-reset/ 401 404 404 404 202
GET    /accounts/password-reset/            200 200 200 200 200
POST   /accounts/password-reset/            200 200 200 200 200
GET    /accounts/password-reset/sent/       200 200 200 200 200
GET    /accounts/password-reset/done/       200 200 200 200 200
GET    /accounts/password-reset/confirm/MQ/abc-def/ 200 200 200 200 200
POST   /accounts/password-reset/confirm/MQ/abc-def/ 200 200 200 200 200
GET    /api/users/{other_superuser}/        401 404 404 404 200
PATCH  /api/users/{other_superuser}/        401 404 404 404 200
DELETE /api/users/{other_superuser}/        401 404 404 404 204
"""
ROWS = [
    (method, path, [int(code) for code in codes]) for method, path, *codes in map(str.split, EXPECTED.split("\n")[1:-1])
]
ROLES = ["anonymous", Role.VIEWER, Role.STAFF, Role.MANAGER, Role.SUPERUSER]
METHODS = ["get", "post", "put", "patch", "delete"]


@pytest.fixture
def world(db):
    """Create one object of each kind that a URL can name."""
    viewer = factories.user(role=Role.VIEWER)
    staff = factories.user(role=Role.STAFF, department="cleaning")
    property_ = factories.property_(owners=(viewer,))
    other_property = factories.property_(is_active=False)
    now = property_.created_at
    task = factories.task(property=property_, assigned_to=staff)
    return {
        "users": {Role.VIEWER: viewer, Role.STAFF: staff},
        "session": uuid.uuid4(),
        "unsubscribe": unsubscribe_url(staff, MailingList.DIGEST).rstrip("/").rpartition("/")[2],
        "property": property_.pk,
        "other_property": other_property.pk,
        "deleted_property": factories.property_(deleted_at=now, owners=(viewer,)).pk,
        "task": task.pk,
        "own_notification": factories.notification(task, staff).pk,
        "other_notification": factories.notification(task, task.created_by).pk,
        "other_task": factories.task(property=other_property, task_type="maintenance").pk,
        "open_task": factories.task(property=other_property).pk,
        "deleted_task": factories.task(property=property_, assigned_to=staff, deleted_at=now).pk,
        "other_staff": factories.user(role=Role.STAFF).pk,
        "other_manager": factories.user(role=Role.MANAGER).pk,
        "other_superuser": factories.user(role=Role.SUPERUSER).pk,
    }


def _client(role, world, client):
    if role == "anonymous":
        return client
    user = world["users"].get(role) or factories.user(role=role)
    world["self"] = user.pk
    return client_of(user)


@pytest.mark.parametrize("position", range(len(ROLES)), ids=[str(role) for role in ROLES])
@pytest.mark.parametrize(("method", "path", "expected"), ROWS, ids=[f"{method} {path}" for method, path, _ in ROWS])
def test_each_role_gets_expected_status(world, client, method, path, expected, position):
    world["self"] = 1
    caller = _client(ROLES[position], world, client)

    response = caller.generic(method, path.format(**world), data="{}", content_type="application/json")

    assert response.status_code == expected[position], response.content


def _routes(resolver, prefix="/"):
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and pattern.namespace in {"admin", "manager_admin"}:
            continue  # test_admin_access.py
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


def _methods(callback) -> set[str]:
    actions = getattr(callback, "actions", None)
    if actions:
        return {method.upper() for method in actions} - {"HEAD"}
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    if view is None:
        return {"GET"}
    allowed = callback.view_initkwargs.get("http_method_names", view.http_method_names)
    return {method.upper() for method in METHODS if hasattr(view, method) and method in allowed}


def test_table_lists_every_route():
    def shape(path: str) -> str:
        parts = ["*" if part.startswith(("<", "{")) or part in {"MQ", "abc-def"} else part for part in path.split("/")]
        return "/".join(parts)

    listed = {(method, shape(path)) for method, path, _ in ROWS}
    existing = {(method, shape(path)) for path, callback in _routes(get_resolver()) for method in _methods(callback)}

    assert existing - listed == set()
    assert listed - existing == set()


def test_view_without_rule_denies_everyone(superuser, settings):
    from django.urls import path
    from rest_framework.response import Response

    from api.rest.views import RuledAPIView

    class Forgotten(RuledAPIView):
        def get(self, request):
            return Response({})

    class Urls:
        urlpatterns = [path("api/forgotten/", Forgotten.as_view())]

    settings.ROOT_URLCONF = Urls

    assert superuser.get("/api/forgotten/").status_code == 403


@pytest.mark.parametrize("role", ROLES[1:])
def test_unsupported_method_returns_405(role, db):
    response = client_of(factories.user(role=role)).put("/api/tasks/", {})

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


def test_worker_imports_views_before_first_request(tmp_path):
    code = "import sys, backend.wsgi; sys.exit('api.operations.views' not in sys.modules)"

    process = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment(tmp_path), check=False)

    assert process.returncode == 0
