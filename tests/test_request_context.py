"""Whose address counts as the client's, behind any number of our proxies."""

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
def test_the_address_is_the_one_that_our_outermost_proxy_saw(client, db, settings, proxies, forwarded, address):
    settings.TRUSTED_PROXY_COUNT = proxies
    person = factories.user()
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    login = {"username": person.username, "password": factories.PASSWORD}
    answer = client.post("/api/auth/login/", login, headers=headers, REMOTE_ADDR=PEER)

    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    assert client.get("/api/auth/sessions/").json()["results"][0]["ip_address"] == address


@pytest.mark.parametrize("agent", ["a" * 1_000, "evil\x00\x1b[31m", "\udce4", ""])
def test_any_user_agent_is_kept_in_a_form_that_can_be_stored(client, db, agent):
    person = factories.user()

    login = {"username": person.username, "password": factories.PASSWORD}
    answer = client.post("/api/auth/login/", login, headers={"User-Agent": agent})

    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    device = client.get("/api/auth/sessions/").json()["results"][0]["device"]
    assert len(device) <= 300
    assert device.isprintable()


@pytest.mark.parametrize(("proxies", "is_secure"), [(0, False), (1, True)])
def test_a_proxys_word_on_tls_is_believed_only_where_there_are_proxies(tmp_path, proxies, is_secure):
    variables = environment(tmp_path, TRUSTED_PROXY_COUNT=str(proxies), SECURE_HSTS_SECONDS="60", WEB_CONCURRENCY="1")
    with serving(variables, tmp_path / "console") as server:
        answer = server.request("GET", "/api/nowhere/", headers={"X-Forwarded-Proto": "https"})

    assert ("Strict-Transport-Security" in answer.headers) is is_secure
