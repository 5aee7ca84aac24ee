"""The client IP and HTTPS detection behind any number of trusted proxies."""

import pytest

from tests import factories
from tests.live.server import environment, serving

PEER = "10.0.0.5"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, PEER),
        (0, "203.0.113.9", PEER),
        (1, None, PEER),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        (2, "203.0.113.9", PEER),
        (3, "203.0.113.9, 10.0.0.6, 10.0.0.7", "203.0.113.9"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "nonsense", PEER),
        (1, "", PEER),
        (1, "203.0.113.9,", PEER),
        (1, "203.0.113.9, <script>", PEER),
        (1, "999.1.1.1", PEER),
        (1, "203.0.113.9\x00", PEER),
    ],
)
def test_client_ip_is_the_address_seen_by_the_outermost_proxy(client, db, settings, proxies, forwarded, address):
    settings.TRUSTED_PROXY_COUNT = proxies
    user = factories.user()
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    login = {"username": user.username, "password": factories.PASSWORD}
    response = client.post("/api/auth/login/", login, headers=headers, REMOTE_ADDR=PEER)

    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")
    assert client.get("/api/auth/sessions/").json()["results"][0]["ip_address"] == address


@pytest.mark.parametrize("agent", ["a" * 1_000, "evil\x00\x1b[31m", "\udce4", ""])
def test_user_agent_is_stored_in_printable_form(client, db, agent):
    user = factories.user()

    login = {"username": user.username, "password": factories.PASSWORD}
    response = client.post("/api/auth/login/", login, headers={"User-Agent": agent})

    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")
    device = client.get("/api/auth/sessions/").json()["results"][0]["device"]
    assert len(device) <= 300
    assert device.isprintable()


@pytest.mark.parametrize(("proxies", "is_secure"), [(0, False), (1, True)])
def test_forwarded_proto_is_trusted_only_behind_proxies(tmp_path, proxies, is_secure):
    variables = environment(tmp_path, TRUSTED_PROXY_COUNT=str(proxies), SECURE_HSTS_SECONDS="60", WEB_CONCURRENCY="1")
    with serving(variables, tmp_path / "console") as server:
        response = server.request("GET", "/api/nowhere/", headers={"X-Forwarded-Proto": "https"})

    assert ("Strict-Transport-Security" in response.headers) is is_secure
