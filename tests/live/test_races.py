"""What happens when several do the same thing at the same time, on a real server with two workers."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor


def at_once(calls):
    """Run all of these together; their answers."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_of_two_writers_with_the_same_version_one_wins(server, manager_headers, task):
    for round_ in range(10):
        etag = server.request("GET", f"/api/tasks/{task['id']}/", headers=manager_headers).headers["ETag"]

        def write(title, etag=etag):
            headers = manager_headers | {"If-Match": etag}
            return server.request("PATCH", f"/api/tasks/{task['id']}/", json={"title": title}, headers=headers)

        answers = at_once([lambda r=round_, n=n: write(f"Round {r}, writer {n}") for n in range(2)])

        assert sorted(answer.status_code for answer in answers) == [200, 412]
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert server.request("GET", f"/api/tasks/{task['id']}/", headers=manager_headers).json() == winner.json()


def test_of_many_refreshes_with_one_token_one_wins(server):
    password = server.passwords["lena.laundry"]
    credentials = {"username": "lena.laundry", "password": password}
    tokens = server.request("POST", "/api/auth/login/", json=credentials).json()

    answers = at_once([lambda: server.request("POST", "/api/auth/refresh/", json={"refresh": tokens["refresh"]})] * 12)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 11}
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    again = server.request("POST", "/api/auth/refresh/", json={"refresh": winner["refresh"]})
    assert again.status_code == 200, "parallel use by one client must not end the session"


def test_forty_parallel_attempts_are_five(server):
    attempt = {"username": "pete.pool", "password": "not the right one"}

    answers = at_once([lambda: server.request("POST", "/api/auth/login/", json=attempt)] * 40)

    counted = Counter(answer.status_code for answer in answers)
    assert counted == {401: 5, 429: 35}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60
    right = {"username": "pete.pool", "password": server.passwords["pete.pool"]}
    assert server.request("POST", "/api/auth/login/", json=right).status_code == 429


def test_parallel_sign_ins_with_the_right_password_all_succeed(server):
    right = {"username": "nina.owner", "password": server.passwords["nina.owner"]}

    answers = at_once([lambda: server.request("POST", "/api/auth/login/", json=right)] * 5)

    assert {answer.status_code for answer in answers} == {200}


def test_of_two_who_claim_a_task_one_gets_it(server, manager_headers, task):
    cleaner = server.sign_in("carla.cleaner", server.passwords["carla.cleaner"])

    answers = at_once(
        [
            lambda headers=headers: server.request("POST", f"/api/tasks/{task['id']}/claim/", json={}, headers=headers)
            for headers in (cleaner, manager_headers)
        ]
    )

    assert [answer.status_code for answer in answers] in ([200, 409], [404, 200])


def test_a_post_repeated_in_parallel_happens_once(server, manager_headers):
    title = f"Once {uuid.uuid4()}"
    body = {"title": title, "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    headers = manager_headers | {"Idempotency-Key": str(uuid.uuid4())}

    answers = at_once([lambda: server.request("POST", "/api/tasks/", json=body, headers=headers)] * 8)

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert server.request("GET", "/api/tasks/", params={"search": title}, headers=manager_headers).json()["count"] == 1


def test_two_edits_cannot_close_a_circle_together(server, manager_headers):
    body = {"title": "Link", "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    for _ in range(5):
        first, second = (
            server.request("POST", "/api/tasks/", json=body, headers=manager_headers).json()["id"] for _ in range(2)
        )

        def link(task, other):
            return server.request("PATCH", f"/api/tasks/{task}/", json={"depends_on": [other]}, headers=manager_headers)

        answers = at_once([lambda a=first, b=second: link(a, b), lambda a=second, b=first: link(a, b)])

        assert sorted(answer.status_code for answer in answers) == [200, 400]


def test_two_superusers_cannot_disable_each_other(server):
    names = ["root.admin", "simon.admin", "grace.admin", "pavel.admin"]
    headers = {name: server.sign_in(name, server.passwords[name]) for name in names}
    ids = {name: server.request("GET", "/api/auth/me/", headers=headers[name]).json()["id"] for name in names}
    try:
        for name in names[2:]:
            server.request("DELETE", f"/api/users/{ids[name]}/", headers=headers["root.admin"])

        answers = at_once(
            [
                lambda a=a, b=b: server.request("DELETE", f"/api/users/{ids[b]}/", headers=headers[a])
                for a, b in (("root.admin", "simon.admin"), ("simon.admin", "root.admin"))
            ]
        )

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 204
        assert statuses[1] in {401, 409}
    finally:
        server.manage(
            "shell", "--verbosity", "0", "-c", "from api.models import User; User.objects.update(is_active=True)"
        )
