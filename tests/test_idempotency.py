"""Idempotency-Key: a POST that may be repeated."""

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
def test_the_same_request_has_the_same_answer_and_happens_once(manager, kind):
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


def test_another_body_is_refused(manager):
    post(manager, BODY)

    answer = post(manager, BODY | {"name": "Another"})

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Property.objects.count() == 1


def test_a_key_belongs_to_one_person_and_one_address(manager):
    other = client_of(factories.user(role="manager"))
    post(manager, BODY)

    assert post(other, BODY | {"name": "Another"}).status_code == 201
    person = {"username": "carla", "email": "carla@example.com", "role": "staff"}
    assert post(manager, person, path="/api/users/").status_code == 201


def test_after_a_day_it_is_a_new_request(manager):
    post(manager, BODY)

    with time_machine.travel(timezone.now() + timedelta(hours=23, minutes=59)):
        sign_in_again(manager)
        assert post(manager, BODY | {"name": "Another"}).status_code == 422
    with time_machine.travel(timezone.now() + timedelta(hours=24, minutes=1)):
        sign_in_again(manager)
        assert post(manager, BODY | {"name": "Another"}).status_code == 201


def test_a_request_that_failed_can_be_corrected(manager):
    assert post(manager, BODY | {"timezone": "Nowhere"}).status_code == 400
    assert post(manager, BODY).status_code == 201


def test_a_request_that_failed_while_it_was_carried_out_can_be_corrected(manager):
    factories.property_(name=BODY["name"])

    assert post(manager, BODY).status_code == 400
    assert not IdempotencyKey.objects.exists()
    assert post(manager, BODY | {"name": "Another"}).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "two words", "ü", "a" * 256])
def test_a_key_that_is_none_is_named(manager, key):
    answer = post(manager, BODY, key=key)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not Property.objects.exists()


def test_while_the_first_request_runs_the_second_is_told_to_wait(manager, settings):
    row = post(manager, BODY)
    Property.objects.all().delete()
    # As a worker leaves it that is still at work, or that was killed.
    IdempotencyKey.objects.update(status=None, claim=uuid.uuid4(), claimed_at=timezone.now())

    waiting = post(manager, BODY)

    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_key_running")
    assert waiting.headers["Retry-After"] == "1"
    assert not Property.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(seconds=settings.WEB_TIMEOUT + 1)):
        taken_over = post(manager, BODY)
    assert taken_over.status_code == 201
    assert taken_over.json()["name"] == row.json()["name"]
    assert post(manager, BODY).content == taken_over.content


@pytest.mark.parametrize("values", [{"role": "superuser"}, {"role": "manager"}, {"password": factories.PASSWORD}])
def test_stored_response_is_not_returned_to_a_user_who_lost_the_right(superuser, values):
    body = {"username": "carla", "email": "carla@example.com", "role": "staff"} | values
    assert post(superuser, body, path="/api/users/").status_code == 201
    assert post(superuser, body, path="/api/users/").status_code == 201
    superuser.user.role = "manager"
    superuser.user.save()

    answer = post(superuser, body, path="/api/users/")

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert b"carla" not in answer.content


@pytest.mark.parametrize("role", ["staff", "viewer"])
def test_stored_response_is_not_returned_to_a_former_manager(manager, role):
    body = factories.task_body(property=factories.property_().pk)
    assert post(manager, body, path="/api/tasks/").status_code == 201
    manager.user.role = role
    manager.user.save()

    assert post(manager, body, path="/api/tasks/").status_code == 403
