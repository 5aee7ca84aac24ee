"""The login throttle counts typed names, so known and unknown names behave alike."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from api.audit.models import AuditEntry
from api.models import User
from tests import factories
from tests.admin_sites import browser_of

WRONG = "not the right one"
KNOWN, UNKNOWN = "kim.strasse", "kip.strasse"
EMAIL = "{}@example.com"


def full_width(text: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def bold(text: str) -> str:
    """Return the text with its lowercase letters in mathematical bold."""
    return "".join(chr(ord(char) - ord("a") + 0x1D41A) if "a" <= char <= "z" else char for char in text)


SPELLINGS = {
    "plain": str,
    "upper case": str.upper,
    "full width": full_width,
    "full-width capitals": lambda text: full_width(text.upper()),
    "full-width at sign": lambda text: text.replace("@", "\uff20"),
    "mathematical bold": bold,
    "Kelvin sign": lambda text: text.replace("k", "\u212a"),
    "sharp s": lambda text: text.replace("ss", "\xdf"),
    "capital sharp s": lambda text: text.replace("ss", "\u1e9e"),
    "long s": lambda text: text.replace("s", "\u017f"),
    "ligature": lambda text: text.replace("st", "\ufb06"),
    "blanks around": lambda text: f" \u3000{text}\xa0\u2003",
}
# Names that differ for both the counters and the lookup.
OTHERS = {
    "capital dotted i": lambda text: text.replace("i", "\u0130"),
    "small dotless i": lambda text: text.replace("i", "\u0131"),
    "zero-width space": lambda text: f"{text}\u200b",
    "Cyrillic a": lambda text: text.replace("a", "\u0430"),
    "combining accent": lambda text: text.replace("e", "e\u0301"),
}


@pytest.fixture(autouse=True)
def frozen_time():
    """Stop the clock, because Retry-After counts seconds."""
    with time_machine.travel(timezone.now(), tick=False) as traveler:
        yield traveler


@pytest.fixture
def kim(db):
    return factories.user(username=KNOWN, email=EMAIL.format(KNOWN), role="superuser")


def log_in(name, password=WRONG, address="192.0.2.1", client=None, **extra):
    client = client or APIClient()
    return client.post("/api/auth/login/", {"username": name, "password": password}, REMOTE_ADDR=address, **extra)


def comparable(response) -> tuple:
    """Return all parts of a response that are equal for equal requests."""
    body = response.json() if "json" in response.headers["Content-Type"] else None
    headers = {
        name: value for name, value in response.headers.items() if name not in {"X-Request-ID", "Content-Length"}
    }
    return response.status_code, headers, sorted(response.cookies), body and body | {"request_id": ""}


def fail_from_everywhere(name, times, first=0, **options):
    """Fail once from each of this number of networks."""
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(first, first + times)]
    return [log_in(name, address=address, **options).status_code for address in addresses]


# --- One normalization


@pytest.mark.parametrize("form", ["{}", EMAIL], ids=["username", "email"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_login_finds_the_account_in_every_spelling_that_shares_its_counter(kim, spelling, form):
    typed = SPELLINGS[spelling](form.format(KNOWN))

    assert log_in(typed, factories.PASSWORD).json()["user"]["id"] == kim.pk
    assert [log_in(typed).status_code for _ in range(5)] == [401] * 5
    assert log_in(form.format(KNOWN), factories.PASSWORD).status_code == 429


@pytest.mark.parametrize("form", ["{}", EMAIL], ids=["username", "email"])
@pytest.mark.parametrize("spelling", OTHERS)
def test_other_names_neither_find_the_account_nor_share_its_counter(kim, spelling, form):
    typed = OTHERS[spelling](form.format(KNOWN))

    assert log_in(typed, factories.PASSWORD).status_code == 401
    assert [log_in(typed).status_code for _ in range(5)] == [401] * 4 + [429]
    assert log_in(form.format(KNOWN), factories.PASSWORD).status_code == 200


@pytest.mark.parametrize("form", ["{}", EMAIL], ids=["username", "email"])
@pytest.mark.parametrize("spelling", [*SPELLINGS, "mixed"])
def test_known_and_unknown_names_get_the_same_responses(kim, spelling, form):
    def responses(name, address):
        spells = list(SPELLINGS.values()) if spelling == "mixed" else [SPELLINGS[spelling]] * 5
        typed = [spell(form.format(name)) for spell in spells]
        attempts = [log_in(text, address=address) for text in typed]
        return [
            comparable(response) for response in [*attempts, log_in(form.format(name), factories.PASSWORD, address)]
        ]

    known, unknown = responses(KNOWN, "192.0.2.1"), responses(UNKNOWN, "192.0.2.2")

    assert known == unknown
    assert [status for status, *_ in known[:5]] == [401] * 5
    assert (known[-1][0], known[-1][1]["Retry-After"]) == (429, "900")


@pytest.mark.parametrize("path", ["/admin/login/", "/manager/login/"])
def test_login_pages_normalize_names_like_the_api(kim, path):
    names = [full_width(KNOWN), KNOWN.upper(), f"{KNOWN}\u3000", KNOWN.replace("k", "\u212a")]
    for name in names:
        assert Client().post(path, {"username": name, "password": WRONG}, REMOTE_ADDR="192.0.2.1").status_code == 200
    assert log_in(KNOWN.replace("ss", "\xdf")).status_code == 401

    body = {"username": KNOWN, "password": factories.PASSWORD}
    assert Client().post(path, body, REMOTE_ADDR="192.0.2.1").status_code == 429
    assert Client().post(path, body | {"username": full_width(KNOWN)}, REMOTE_ADDR="192.0.2.2").status_code == 302


@pytest.mark.parametrize("length", [200, 254, 255, 10_000])
def test_login_page_accepts_names_as_long_as_an_email(db, length):
    local = f"{'a' * 60}@" + ".".join(["b" * 60] * 4)
    email = local[: length - 4] + ".com" if length <= 254 else "c" * length
    user = factories.user(role="superuser", **({"email": email} if length <= 254 else {}))

    response = Client().post("/admin/login/", {"username": email, "password": factories.PASSWORD})

    assert response.status_code == (302 if length <= 254 else 200)
    assert user.sessions.exists() is (length <= 254)
    assert AuditEntry.objects.filter(event="failed_login").count() == 0


def test_username_and_email_have_separate_counters(kim):
    for _ in range(5):
        log_in(EMAIL.format(KNOWN))

    assert log_in(EMAIL.format(KNOWN), factories.PASSWORD).status_code == 429
    assert log_in(KNOWN, factories.PASSWORD).status_code == 200


def test_current_password_attempts_count_for_the_username(kim):
    browser = browser_of(kim)
    body = {"current_password": WRONG, "new_password1": "x" * 12, "new_password2": "x" * 12}
    assert [browser.post("/admin/password_change/", body).status_code for _ in range(5)] == [200] * 5

    assert log_in(full_width(KNOWN), factories.PASSWORD, "127.0.0.1").status_code == 429
    assert log_in(EMAIL.format(KNOWN), factories.PASSWORD, "127.0.0.1").status_code == 200


@pytest.mark.parametrize("typed", [KNOWN, UNKNOWN, EMAIL.format(KNOWN), full_width(KNOWN)])
def test_every_name_causes_the_same_statements(kim, typed):
    def statements(name, **options):
        with CaptureQueriesContext(connection) as queries:
            log_in(name, **options)
        return [query["sql"].split()[0] for query in queries]

    client = APIClient()
    client.cookies["device"] = "a" * 43

    assert statements(typed) == statements("somebody.else", address="192.0.2.2")
    assert statements(typed, client=client) == statements("somebody.else", address="192.0.2.2", client=client)


# --- The ceiling


def test_ceiling_allows_one_attempt_per_minute(kim, frozen_time):
    assert fail_from_everywhere(KNOWN, 52) == [401] * 51 + [429]

    rejected = log_in(KNOWN, factories.PASSWORD)
    assert (rejected.status_code, rejected.json()["code"]) == (429, "too_many_attempts")
    assert rejected.headers["Retry-After"] == "60"
    frozen_time.shift(timedelta(seconds=59))
    assert log_in(KNOWN, factories.PASSWORD).headers["Retry-After"] == "1"
    frozen_time.shift(timedelta(seconds=1))
    assert fail_from_everywhere(KNOWN, 2, first=100) == [401, 429]
    frozen_time.shift(timedelta(seconds=60))
    assert [log_in(KNOWN, factories.PASSWORD).status_code for _ in range(3)] == [200] * 3
    frozen_time.shift(timedelta(hours=1))
    assert fail_from_everywhere(KNOWN, 3, first=200) == [401] * 3


def test_ceiling_treats_known_and_unknown_names_alike(kim):
    def responses(name, first):
        results = []
        for number in range(first, first + 54):
            spell = list(SPELLINGS.values())[number % len(SPELLINGS)]
            results.append(comparable(log_in(spell(name), address=f"10.1.0.{number % 250}")))
        return [*results, comparable(log_in(name, factories.PASSWORD))]

    known = responses(KNOWN, 0)

    assert known == responses(UNKNOWN, 120)
    assert [status for status, *_ in known] == [401] * 51 + [429] * 4


def test_rejected_attempts_do_not_count_for_the_ceiling(kim):
    fail_from_everywhere(KNOWN, 40)
    for _ in range(20):
        log_in(KNOWN, address="10.9.9.9")  # only five are checked

    assert fail_from_everywhere(KNOWN, 7, first=100) == [401] * 6 + [429]


def test_late_success_returns_no_attempt_in_the_next_window(kim, frozen_time, monkeypatch):
    with monkeypatch.context() as slow:

        def check_after_the_window(self, raw):
            slow.undo()
            frozen_time.shift(timedelta(minutes=16))
            assert log_in(KNOWN).status_code == 401
            return True

        slow.setattr(User, "check_password", check_after_the_window)
        assert log_in(KNOWN, factories.PASSWORD).status_code == 200

    assert [log_in(KNOWN).status_code for _ in range(5)] == [401] * 4 + [429]


def test_ceiling_is_audited_once(kim):
    fail_from_everywhere(KNOWN, 54)

    assert AuditEntry.objects.filter(event="failed_login", actor_id=kim.pk).count() == 51
    assert AuditEntry.objects.filter(event="account_locked", actor_id=kim.pk).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("names", "networks", "checked"),
    [(1, 1, 5), (60, 1, 30), (1, 60, 51)],
    ids=["one name, one network", "one network", "one name"],
)
def test_parallel_attempts_are_counted_exactly(names, networks, checked):
    def attempt(number):
        try:
            return log_in(f"nobody{number % names}", address=f"10.0.0.{number % networks}").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        counts = Counter(pool.map(attempt, range(60)))

    assert counts == {401: checked, 429: 60 - checked}


# --- Devices


@pytest.fixture
def device(kim):
    """Return a client on which Kim has signed in."""
    client = APIClient()
    assert log_in(KNOWN, factories.PASSWORD, client=client).status_code == 200
    return client


def test_known_device_is_exempt_from_the_ceiling(kim, device):
    fail_from_everywhere(KNOWN, 51)

    assert log_in(KNOWN, factories.PASSWORD).status_code == 429
    assert log_in(KNOWN, factories.PASSWORD, client=device).status_code == 200
    assert log_in(KNOWN, client=device).status_code == 401


def test_browser_is_exempt_after_a_login_on_a_page(kim):
    browser, body = Client(), {"username": KNOWN, "password": factories.PASSWORD}
    assert browser.post("/admin/login/", body).status_code == 302
    fail_from_everywhere(KNOWN, 51)

    assert Client().post("/admin/login/", body).status_code == 429
    assert browser.post("/admin/login/", body).status_code == 302


def test_known_device_is_not_exempt_from_the_network_limit(kim, device):
    assert [log_in(KNOWN, client=device).status_code for _ in range(6)] == [401] * 5 + [429]


def test_known_device_has_its_own_ceiling(kim, device):
    assert fail_from_everywhere(KNOWN, 52, client=device) == [401] * 51 + [429]
    assert log_in(KNOWN, factories.PASSWORD, client=device).headers["Retry-After"] == "60"

    assert log_in(KNOWN, factories.PASSWORD).status_code == 200  # the ceiling of the name is unaffected


def test_neither_a_user_agent_nor_the_device_of_another_account_is_exempt(kim):
    agent, other = {"HTTP_USER_AGENT": "Mozilla/5.0 (Kim's own)"}, factories.user()
    log_in(KNOWN, factories.PASSWORD, **agent)
    client = APIClient()
    log_in(other.username, factories.PASSWORD, client=client)
    fail_from_everywhere(KNOWN, 51)

    assert log_in(KNOWN, factories.PASSWORD, **agent).status_code == 429
    assert log_in(KNOWN, factories.PASSWORD, client=client).status_code == 429


def test_known_device_can_enter_the_current_password_above_the_ceiling(kim, device):
    access = log_in(KNOWN, factories.PASSWORD, client=device).json()["access"]
    fail_from_everywhere(KNOWN, 51)
    body = {"current_password": factories.PASSWORD, "new_password": "another fine password"}
    change = partial(
        APIClient().post, "/api/auth/password/change/", body, headers={"Authorization": f"Bearer {access}"}
    )

    assert change().status_code == 429
    device.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    assert device.post("/api/auth/password/change/", body).status_code == 204
