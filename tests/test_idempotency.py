"""Idempotency-Key: safe repetition of POST requests."""

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from api.models import IdempotencyKey, Property, Task, User
from tests import factories
from tests.conftest import client_of, sign_in_again

KEY = "a-key-of-the-client"
BODY = {"name": "Loft", "address": "Quay 1"}


def post(client, body, key=KEY, path="/api/properties/"):
    return client.post(path, body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("kind", ["tasks", "properties", "users"])
def test_repeated_request_gets_same_response_and_creates_one_row(manager, kind):
    bodies = {
        "tasks": factories.task_body(property=factories.property_().pk),
        "properties": BODY,
        "users": {"username": "carla", "email": "carla@example.com", "role": "staff"},
    }
    model = {"tasks": Task, "properties": Property, "users": User}[kind]
    before = model.objects.count()

    first = post(manager, bodies[kind], path=f"/api/{kind}/")
    second = post(manager, dict(reversed(bodies[kind].items())), path=f"/api/{kind}/")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert (first.headers["ETag"], first.headers["Location"]) == (second.headers["ETag"], second.headers["Location"])
    assert model.objects.count() == before + 1


def test_reused_key_with_different_body_is_rejected(manager):
    post(manager, BODY)

    response = post(manager, BODY | {"name": "Another"})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert Property.objects.count() == 1


def test_key_belongs_to_one_user_and_one_path(manager):
    other = client_of(factories.user(role="manager"))
    post(manager, BODY)

    assert post(other, BODY | {"name": "Another"}).status_code == 201
    user_body = {"username": "carla", "email": "carla@example.com", "role": "staff"}
    assert post(manager, user_body, path="/api/users/").status_code == 201


def test_key_expires_after_24_hours(manager):
    post(manager, BODY)

    with time_machine.travel(timezone.now() + timedelta(hours=23, minutes=59)):
        sign_in_again(manager)
        assert post(manager, BODY | {"name": "Another"}).status_code == 422
    with time_machine.travel(timezone.now() + timedelta(hours=24, minutes=1)):
        sign_in_again(manager)
        assert post(manager, BODY | {"name": "Another"}).status_code == 201


def test_request_can_be_corrected_after_validation_error(manager):
    assert post(manager, BODY | {"timezone": "Nowhere"}).status_code == 400
    assert post(manager, BODY).status_code == 201


def test_request_can_be_corrected_after_failed_change(manager):
    factories.property_(name=BODY["name"])

    assert post(manager, BODY).status_code == 400
    assert not IdempotencyKey.objects.exists()
    assert post(manager, BODY | {"name": "Another"}).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "two words", "ü", "a" * 256])
def test_invalid_key_is_rejected(manager, key):
    response = post(manager, BODY, key=key)

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not Property.objects.exists()


def test_second_request_gets_409_while_first_is_running(manager, settings):
    original = post(manager, BODY)
    Property.objects.all().delete()
    # The state of a request that is still running or whose worker was killed.
    IdempotencyKey.objects.update(status=None, claim=uuid.uuid4(), claimed_at=timezone.now())

    waiting = post(manager, BODY)

    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_key_running")
    assert waiting.headers["Retry-After"] == "1"
    assert not Property.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(seconds=settings.WEB_TIMEOUT + 1)):
        taken_over = post(manager, BODY)
    assert taken_over.status_code == 201
    assert taken_over.json()["name"] == original.json()["name"]
    assert post(manager, BODY).content == taken_over.content


@pytest.mark.parametrize("values", [{"role": "superuser"}, {"role": "manager"}, {"password": factories.PASSWORD}])
def test_stored_response_is_denied_after_loss_of_permission(superuser, values):
    body = {"username": "carla", "email": "carla@example.com", "role": "staff"} | values
    assert post(superuser, body, path="/api/users/").status_code == 201
    assert post(superuser, body, path="/api/users/").status_code == 201
    superuser.user.role = "manager"
    superuser.user.save()

    response = post(superuser, body, path="/api/users/")

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert b"carla" not in response.content


@pytest.mark.parametrize("role", ["staff", "viewer"])
def test_stored_response_is_denied_to_former_manager(manager, role):
    body = factories.task_body(property=factories.property_().pk)
    assert post(manager, body, path="/api/tasks/").status_code == 201
    manager.user.role = role
    manager.user.save()

    assert post(manager, body, path="/api/tasks/").status_code == 403
