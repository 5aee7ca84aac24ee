"""What the real server writes into its log files, found with the operator's own commands."""

import secrets

import pytest

from tests.logs import wait_until


def login(server, username, password):
    body = {"username": username, "password": password}
    return server.request("POST", "/api/auth/login/", json=body, headers={"User-Agent": "Curious/1.0"})


@pytest.fixture(scope="module")
def manager_headers(server):
    return server.sign_in("maria.manager", server.passwords["maria.manager"])


@pytest.fixture(scope="module")
def staff_headers(server):
    return server.sign_in("carla.cleaner", server.passwords["carla.cleaner"])


@pytest.fixture(scope="module")
def task_response(server, manager_headers):
    house = server.request("GET", "/api/properties/", headers=manager_headers).json()["results"][0]["id"]
    body = {"title": "Secret plan", "task_type": "cleaning", "property": house, "due_date": "2030-01-01T12:00:00Z"}
    answer = server.request("POST", "/api/tasks/", json=body, headers=manager_headers)
    assert answer.status_code == 201, answer.text
    return answer


def records(server, name, answer, event):
    return [entry for entry in server.logs.of_request(name, answer) if entry.get("event") == event]


def test_signing_in_is_told_to_both_logs_with_the_user_in_the_request(server):
    answer = login(server, "lena.laundry", server.passwords["lena.laundry"])

    (entry,) = records(server, "info", answer, "login_success")
    assert records(server, "security", answer, "login_success") == [entry]
    assert (entry["logger"], entry["level"], entry["message"]) == ("api", "INFO", "User login successful")
    assert entry["security"] == {"event_type": "login_success", "category": "authentication", "severity": "low"}
    assert entry["request"]["user_id"] == entry["user_id"] == answer.json()["user"]["id"]
    assert (entry["request"]["user_agent"], entry["request"]["remote_addr"]) == ("Curious/1.0", "127.0.0.1")
    assert (entry["request"]["path"], entry["request"]["route"]) == ("/api/auth/login/", "api/auth/login/")


def test_failures_are_counted_and_the_last_one_locks_the_account(server):
    typed = f"hunter-{secrets.token_hex(4)}"
    answers = [login(server, typed, "wrong") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    entries = [records(server, "security", answer, "failed_login") for answer in answers[:5]]
    assert [entry["attempt_count"] for (entry,) in entries] == [1, 2, 3, 4, 5]
    assert {entry["message"] for (entry,) in entries} == {"Failed login attempt"}
    (locked,) = records(server, "security", answers[4], "account_locked")
    assert (locked["message"], locked["security"]["category"]) == ("Account locked", "authentication")
    (limited,) = records(server, "security", answers[5], "rate_limit_exceeded")
    assert (limited["message"], limited["level"]) == ("Rate limit exceeded", "WARNING")
    assert limited["security"]["category"] == "abuse_prevention"
    assert server.logs.files_with(typed) == set()  # people type passwords there


def test_a_task_is_told_with_the_fields_of_the_specification(server, manager_headers, task_response):
    (entry,) = records(server, "info", task_response, "task_created")

    assert (entry["logger"], entry["message"]) == ("api", "Task created successfully")
    assert entry["task_id"] == task_response.json()["id"]
    assert entry["property_id"] == task_response.json()["property"]
    assert entry["user_id"] == entry["request"]["user_id"] == task_response.json()["created_by"]
    assert server.logs.files_with("Secret plan") == set()  # titles are for the audit trail


def test_each_move_of_a_task_has_its_event(server, manager_headers, task_response):
    path = f"/api/tasks/{task_response.json()['id']}"
    asked = {
        "task_updated": ("PATCH", "/", {"title": "Other"}),
        "task_assigned": ("POST", "/assign/", {"assigned_to": None}),
        "task_status_changed": ("POST", "/status/", {"status": "in_progress"}),
        "task_completed": ("POST", "/status/", {"status": "completed"}),
        "task_deleted": ("DELETE", "/", None),
        "task_restored": ("POST", "/restore/", {}),
    }
    me = server.request("GET", "/api/auth/me/", headers=manager_headers).json()["id"]
    server.request("POST", f"{path}/assign/", json={"assigned_to": me}, headers=manager_headers)

    answers = {
        event: server.request(method, path + end, json=body, headers=manager_headers)
        for event, (method, end, body) in asked.items()
    }

    for event, answer in answers.items():
        assert answer.status_code in {200, 204}, answer.text
        (entry,) = records(server, "info", answer, event)
        assert (entry["task_id"], entry["user_role"]) == (task_response.json()["id"], "manager")
    assert records(server, "info", answers["task_completed"], "task_completed")[0]["message"] == "Task completed"


def test_a_denial_is_where_the_operator_greps(server, staff_headers, task_response):
    answer = server.request("DELETE", f"/api/tasks/{task_response.json()['id']}/", headers=staff_headers)

    assert answer.status_code in {403, 404}
    denied = server.request("POST", "/api/properties/", json={"name": "A", "address": "B"}, headers=staff_headers)
    (entry,) = records(server, "security", denied, "permission_denied")
    assert records(server, "error", denied, "permission_denied") == [entry]
    assert entry["message"] == "Permission denied: properties.create"
    assert (entry["user_role"], entry["attempted_action"]) == ("staff", "properties.create")
    assert entry["security"]["category"] == "authorization"
    for name in ("error", "security"):
        assert denied.headers["X-Request-ID"] in server.logs.grep(f'grep "Permission denied" logs/{name}.log')


def test_a_request_without_a_token_is_told(server):
    answer = server.request("GET", "/api/tasks/")

    (entry,) = records(server, "security", answer, "authentication_required")
    assert (entry["level"], entry["message"]) == ("INFO", "Authentication required")
    assert (entry["request"]["route"], entry["ip_address"]) == ("api/tasks/", "127.0.0.1")


def test_roles_are_told_to_info_log(server, manager_headers):
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    body = {"username": f"new.{secrets.token_hex(4)}", "email": f"{secrets.token_hex(4)}@example.com", "role": "viewer"}
    person = server.request("POST", "/api/users/", json=body, headers=root).json()

    changed = server.request("PATCH", f"/api/users/{person['id']}/", json={"role": "manager"}, headers=root)

    (entry,) = records(server, "info", changed, "role_changed")
    assert records(server, "security", changed, "role_changed") == [entry]
    assert entry["changes"] == {"role": ["viewer", "manager"]}
    assert entry["target_user_id"] == person["id"]
    assert changed.headers["X-Request-ID"] in server.logs.grep('grep "role.*manager" logs/info.log')


def test_every_request_has_one_line_with_its_measures(server, manager_headers):
    answers = [server.request("GET", "/api/tasks/?page_size=5", headers=manager_headers) for _ in range(20)]
    answers += [server.request("GET", "/api/health/"), server.request("HEAD", "/api/health/")]
    answers += [server.request("GET", "/nowhere/")]

    for answer in answers:
        wait_until(lambda answer=answer: server.logs.of_request("performance", answer))
        (entry,) = server.logs.of_request("performance", answer)
        assert (entry["event"], entry["status_code"]) == ("request", answer.status_code)
        assert entry["bytes"] == len(answer.content)
        assert entry["memory"]["usage_mb"] > 10
    tasks = server.logs.of_request("performance", answers[0])[0]
    assert tasks["database"]["queries_count"] == 3
    assert tasks["database"]["queries_time_ms"] > 0
    assert tasks["performance"].keys() == {"duration_ms", "slow_query", "category"}
    assert tasks["request"]["user_id"] is not None


def test_what_gunicorn_says_is_in_the_same_files(server):
    assert any(entry["logger"] == "gunicorn.error" for entry in server.logs.entries("info"))


def test_every_file_is_there_from_the_start(server):
    names = {path.name for path in server.logs.folder.glob("*.log")}

    assert names == {
        *("info.log", "error.log", "security.log", "performance.log", "digest.log", "digest_err.log"),
    }
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in server.logs.folder.glob("*.log"))
