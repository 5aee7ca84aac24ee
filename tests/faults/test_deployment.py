"""Production behind nginx with our configuration, on PostgreSQL, with DEBUG off."""

import json
import re

import pytest

from tests.faults import deployed
from tests.live.server import manage
from tests.logs import wait_until

pytestmark = [
    pytest.mark.fault,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),  # the certificate is self-signed
]

PASSWORD = "a password of some length"
_PEOPLE = f"""
from api.models import User
User.objects.create_superuser("ada", email="ada@example.com", password="{PASSWORD}")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory, module_portfolio):
    folder = tmp_path_factory.mktemp("site")
    with deployed.site(folder, module_portfolio.url) as site:
        manage(site.servers[0].environment, "shell", "-v", "0", "-c", _PEOPLE, project=folder / "opt")
        yield site


def sign_in(site):
    body = {"username": "ada", "password": PASSWORD}
    answer = site.ask("POST", "/api/auth/login/", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access']}"}


def test_plain_http_redirects_to_https(site):
    answer = site.ask("GET", "/api/tasks/?page=2", plain=True)

    assert (answer.status_code, answer.headers["Location"]) == (301, "https://cosmo.example.com/api/tasks/?page=2")


@pytest.mark.parametrize("probe", ["", "live/", "ready/"])
def test_probes_work_in_plain_http_and_for_any_host(site, probe):
    answer = site.ask("GET", f"/api/health/{probe}", plain=True, headers={"Host": "10.0.0.7"})

    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def test_unknown_host_is_rejected(site):
    assert site.ask("GET", "/api/tasks/", headers={"Host": "evil.example.com"}).status_code == 400


def test_responses_have_the_specified_headers(site):
    answer = site.ask("GET", "/admin/login/")
    headers = answer.headers

    assert answer.status_code == 200, answer.text
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-XSS-Protection"] == "1; mode=block"
    assert re.fullmatch("nginx", headers["Server"])


def test_cookies_are_secure_and_limited_to_this_host(site):
    browser = deployed.Browser(site)
    answer = browser.ask("GET", "/manager/login/")
    assert answer.status_code == 200, answer.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.text)[1]
    values = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = browser.ask("POST", "/manager/login/", data=values)

    assert answer.status_code == 302, answer.text
    cookies = browser.set_cookies
    assert {cookie.partition("=")[0] for cookie in cookies} == {"__Host-csrftoken", "__Host-sessionid", "__Host-device"}
    assert all("; Secure" in cookie and "; Path=/" in cookie and "Domain" not in cookie for cookie in cookies)
    assert browser.ask("GET", "/manager/").status_code == 200


def test_foreign_origins_are_rejected(site):
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    ours = site.ask("OPTIONS", "/api/tasks/", headers={"Origin": "https://app.example.com", **asked})
    other = site.ask("OPTIONS", "/api/tasks/", headers={"Origin": "https://evil.example.com", **asked})

    assert ours.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Origin" not in other.headers


def test_database_connections_are_reused_and_checked_before_use(site, module_portfolio):
    headers = sign_in(site)
    pids = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def connections():
        return {pid for (pid,) in module_portfolio.cluster.execute(pids, module_portfolio.name)}

    for _ in range(20):
        assert site.ask("GET", "/api/tasks/", headers=headers).status_code == 200
    kept = connections()
    for _ in range(20):
        assert site.ask("GET", "/api/tasks/", headers=headers).status_code == 200
    assert connections() == kept  # no request opened a connection

    module_portfolio.cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()",
        module_portfolio.name,
    )
    answers = [site.ask("GET", "/api/tasks/", headers=headers).status_code for _ in range(20)]
    assert answers == [200] * 20  # dead connections were not used


def test_client_ip_is_the_one_seen_by_nginx(site):
    site.ask("GET", "/api/tasks/", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "forged-address-1"})

    def line():
        return [entry for entry in site.logs.entries("performance") if entry["request"]["id"] == "forged-address-1"]

    wait_until(line, seconds=5)
    assert line()[0]["request"]["remote_addr"] == "127.0.0.1"


def test_access_log_contains_no_reset_link(site):
    site.ask("GET", "/accounts/password-reset/confirm/MQ/canary-token-4711/?again=canary-query-4711")

    wait_until(lambda: "password-reset/confirm" in site.access_log, seconds=5)
    lines = [json.loads(line) for line in site.access_log.splitlines()]
    assert lines[-1]["path"] == "/accounts/password-reset/confirm/[REDACTED]"
    assert "canary" not in site.access_log


def test_nginx_serves_static_files_as_immutable(site):
    page = site.ask("GET", "/admin/login/").text
    path = re.search(r'href="(/static/admin/css/base\.\w+\.css)"', page)[1]

    answer = site.ask("GET", path)

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    wait_until(lambda: path in site.access_log, seconds=5)
    assert next(json.loads(line) for line in site.access_log.splitlines() if path in line)["upstream"] == ""


@pytest.mark.parametrize(("size", "status"), [(2**20, 401), (2**20 + 1, 413), (2**24, 413)])
def test_nginx_rejects_bodies_over_one_megabyte(site, size, status):
    answer = site.ask("POST", "/api/tasks/", data=b" " * size, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize(("size", "status"), [(7_000, 401), (9_000, 400)])
def test_headers_over_eight_kilobytes_are_rejected(site, size, status):
    assert site.ask("GET", "/api/tasks/", headers={"X-Long": "a" * size}).status_code == status


def test_nginx_limits_the_login_rate(site):
    body = {"email": "nobody@example.com"}
    answers = [site.ask("POST", "/api/auth/password/reset/", json=body, source="127.0.0.2") for _ in range(40)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert 10 <= len(refused) <= 20
    assert (refused[0].json()["code"], refused[0].headers["Retry-After"]) == ("too_many_requests", "1")


def test_nginx_hides_metrics(site):
    assert site.ask("GET", "/metrics").status_code == 404


def test_restart_of_one_instance_fails_no_request(site):
    for number in (0, 1):
        site.nginx("out", number)
        site.stop(number)
        answers = {site.ask("GET", "/api/health/live/").status_code for _ in range(20)}
        site.start(number)
        site.nginx("in", number)
        assert answers == {200}

    assert "down" not in (site.folder / "cosmo.conf").read_text()
    assert {site.ask("GET", "/api/health/live/").status_code for _ in range(20)} == {200}


def test_nginx_returns_503_problem_details_when_no_instance_responds(site):
    site.stop(0)
    site.stop(1)
    try:
        answer = site.ask("GET", "/api/tasks/")
    finally:
        site.start(0)
        site.start(1)
        # nginx skips an unresponsive instance for two seconds.
        wait_until(lambda: site.ask("GET", "/api/health/live/").status_code == 200, seconds=10)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "service_unavailable"
