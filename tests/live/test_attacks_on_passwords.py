"""What an attacker would try with links, with races, and to learn who has an account: a real server, two workers."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psutil
import pytest
import requests

from tests.live.browser import Browser
from tests.live.server import Server
from tests.logs import wait_until

OLD = "an old and long passphrase"
NEW = "a new and longer passphrase"

MADE = """
from django.contrib.auth.hashers import make_password
from api.users.models import User
from api.accounts.mails import reset_url
password = make_password({password!r})
for number in range({count}):
    name = f"victim.{{number}}"
    user = User.objects.create(username=name, email=f"{{name}}@example.com", password=password, role="manager")
    print(user.pk, name, reset_url(user))
"""


class Victim(NamedTuple):
    pk: int
    name: str
    uid: str
    token: str

    @property
    def path(self) -> str:
        return f"/accounts/password-reset/confirm/{self.uid}/{self.token}/"


@pytest.fixture(scope="module")
def victims(server) -> Iterator[Victim]:
    """People whose password is OLD and who have been sent a link, as many as anybody takes."""
    printed = server.manage("shell", "--verbosity", "0", "-c", MADE.format(password=OLD, count=24))
    found = re.findall(r"(\d+) (\S+) \S+/confirm/([^/]+)/([^/]+)/", printed)
    return iter([Victim(int(pk), name, uid, token) for pk, name, uid, token in found])


@pytest.fixture
def victim(victims) -> Victim:
    return next(victims)


def confirm(server: Server, victim: Victim, password: str, **instead: str) -> int:
    body = {"uid": victim.uid, "token": victim.token, "new_password": password} | instead
    return send_json(server, "/api/auth/password/reset/confirm/", body, address=address_of(victim)).status_code


def send_json(server: Server, path: str, body: dict[str, str], *, address: str) -> requests.Response:
    """Post from an address of its own: invalid links and reset requests count for it."""
    with Browser(server, address).session as session:
        return session.post(server.url + path, json=body, timeout=30)


def address_of(victim: Victim) -> str:
    return f"127.4.{victim.pk // 250}.{victim.pk % 250 + 1}"


def change(server: Server, victim: Victim, headers: dict[str, str], password: str) -> int:
    body = {"current_password": OLD, "new_password": password}
    return server.request("POST", "/api/auth/password/change/", json=body, headers=headers).status_code


def at_once(number: int, call: Callable[[int], Any]) -> list[Any]:
    """What so many calls answer that begin together."""
    barrier = threading.Barrier(number)

    def begin(index: int) -> Any:
        barrier.wait()
        return call(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def can_sign_in(server: Server, victim: Victim, password: str) -> bool:
    return Browser(server).sign_in("/manager", victim.name, password).status_code == 302


# --- Links


def test_a_link_is_good_once(server, victim):
    assert confirm(server, victim, NEW + " 1") == 204
    assert confirm(server, victim, NEW + " 2") == 400
    assert can_sign_in(server, victim, NEW + " 1")


def test_a_link_is_good_for_nobody_else(server, victims):
    one, other = next(victims), next(victims)

    assert confirm(server, one, NEW, uid=other.uid) == 400
    assert can_sign_in(server, other, OLD)


def test_a_link_dies_with_a_changed_password(server, victim):
    assert change(server, victim, server.sign_in(victim.name, OLD), NEW + " 1") == 204

    assert confirm(server, victim, NEW + " 2") == 400


def test_login_invalidates_open_reset_links(server, victim):
    """A login invalidates open reset links, so that a stolen mailbox holds no valid one."""
    assert can_sign_in(server, victim, OLD)

    assert confirm(server, victim, NEW) == 400


def test_a_link_dies_with_a_password_that_a_superuser_sets(server, victim):
    superuser = Browser(server)
    superuser.sign_in("/admin", "root.admin")
    page = f"/admin/api/user/{victim.pk}/password/"
    superuser.get(page)
    assert superuser.post(page, {"new_password1": NEW, "new_password2": NEW}).status_code == 302

    assert confirm(server, victim, NEW + " 2") == 400


def test_a_link_dies_with_a_disabled_account(server, victim):
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    assert server.request("DELETE", f"/api/users/{victim.pk}/", headers=root).status_code == 204

    assert confirm(server, victim, NEW) == 400
    assert Browser(server, address_of(victim)).get(victim.path).status_code == 200


def test_a_longer_token_of_a_shorter_life_is_none(server, victim):
    """The moment inside the token is signed with it."""
    later = "zzzzzz" + victim.token[victim.token.index("-") :]

    for token in (later, victim.token.upper(), victim.token + "0", "", "-", "set-password"):
        assert confirm(server, victim, NEW, token=token) == 400
    assert confirm(server, victim, NEW) == 204


def test_the_page_of_a_link_keeps_the_token_in_no_address_and_in_no_other_browser(server, victim):
    browser = Browser(server)
    opened = browser.get(victim.path)
    form = opened.headers["Location"]

    assert victim.token not in form
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    assert "Set password" in browser.get(form).text
    assert "Link not valid" in Browser(server).get(form).text


def test_a_page_that_was_opened_before_is_of_no_use_after_a_reset(server, victim):
    thief = Browser(server)
    form = thief.get(victim.path).headers["Location"]
    thief.get(form)
    assert confirm(server, victim, NEW + " 1") == 204

    thief.post(form, {"new_password1": NEW + " 2", "new_password2": NEW + " 2"})

    assert can_sign_in(server, victim, NEW + " 1")


def test_setting_a_password_by_a_link_signs_nobody_in(server, victim):
    browser = Browser(server)
    form = browser.get(victim.path).headers["Location"]
    browser.get(form)

    answer = browser.post(form, {"new_password1": NEW, "new_password2": NEW})

    assert answer.headers["Location"] == "/accounts/password-reset/done/"
    assert browser.get("/manager/").status_code == 302


def test_a_reset_ends_what_a_thief_had_opened(server, victims):
    one, other = next(victims), next(victims)
    tokens, browser = server.sign_in(one.name, OLD), Browser(server)
    assert browser.sign_in("/manager", other.name, OLD).status_code == 302
    root = Browser(server)
    root.sign_in("/admin", "root.admin")
    for person in (one, other):
        page = f"/admin/api/user/{person.pk}/password/"
        root.get(page)
        assert root.post(page, {"new_password1": NEW, "new_password2": NEW}).status_code == 302

    assert server.request("GET", "/api/auth/me/", headers=tokens).status_code == 401
    assert browser.get("/manager/").status_code == 302


def test_links_come_from_no_header_of_a_request(server, victim):
    """Mails are printed here: by the server, or by the command where they wait for a worker."""
    email = f"{victim.name}@example.com"
    body = {"email": email}
    forged = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "Origin": "https://evil.example"}

    assert server.request("POST", "/api/auth/password/reset/", json=body, headers=forged).status_code == 200
    as_host = server.request("POST", "/api/auth/password/reset/", json=body, headers={"Host": "evil.example"})

    assert as_host.status_code == 400
    printed = server.manage("deliver_mail")
    wait_until(lambda: f"To: {email}" in printed + server.console(), seconds=30)
    mail = (printed + server.console()).partition(f"To: {email}")[2].partition("-" * 70)[0]
    assert "/accounts/password-reset/confirm/" in mail
    assert "evil.example" not in mail


# --- Races


def test_of_ten_confirms_at_once_one_wins(server, victim):
    answers = at_once(10, lambda number: confirm(server, victim, f"{NEW} {number}"))

    assert sorted(answers) == [204] + [400] * 9
    assert can_sign_in(server, victim, f"{NEW} {answers.index(204)}")


def test_of_five_changes_at_once_one_wins(server, victim):
    headers = server.sign_in(victim.name, OLD)

    answers = at_once(5, lambda number: change(server, victim, headers, f"{NEW} {number}"))

    assert answers.count(204) == 1
    assert set(answers) <= {204, 400, 401, 409}
    assert can_sign_in(server, victim, f"{NEW} {answers.index(204)}")


def test_of_a_link_and_a_superuser_who_sets_a_password_at_once_one_is_last(server, victim):
    """Each order is right: the link after that is none any more, and the password that was set last is the one."""
    superuser = Browser(server)
    superuser.sign_in("/admin", "root.admin")
    page = f"/admin/api/user/{victim.pk}/password/"
    superuser.get(page)
    twice = {"new_password1": NEW + " 1", "new_password2": NEW + " 1"}

    link, form = at_once(
        2, lambda who: superuser.post(page, twice).status_code if who else confirm(server, victim, NEW)
    )

    assert (link, form) in {(204, 302), (400, 302)}
    assert can_sign_in(server, victim, NEW + " 1")
    assert not can_sign_in(server, victim, NEW)


def test_a_role_that_is_taken_away_is_gone_with_the_answer_that_says_so(server, victim):
    """Requests that began before may end; none that begins afterwards."""
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    browser = Browser(server)
    assert browser.sign_in("/manager", victim.name, OLD).status_code == 302
    tokens = server.sign_in(victim.name, OLD)
    began_after: list[int] = []
    taken, stop = threading.Event(), threading.Event()

    def work(_: int) -> None:
        while not stop.is_set():
            is_after = taken.is_set()
            status = server.request("GET", "/api/users/", headers=tokens).status_code
            status = max(status, browser.get("/manager/api/user/").status_code)
            if is_after:
                began_after.append(status)

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work, number) for number in range(3)]
        answer = server.request("PATCH", f"/api/users/{victim.pk}/", json={"role": "staff"}, headers=root)
        taken.set()
        try:
            wait_until(lambda: len(began_after) >= 9, seconds=20)
        finally:
            stop.set()
        for worker in workers:
            worker.result()

    assert answer.status_code == 200
    assert began_after
    assert set(began_after) == {401}
    assert browser.get("/manager/").status_code == 302


# --- Telling who has an account


@pytest.mark.timing
def test_neither_words_nor_time_of_asking_for_a_mail_tell_it(server):
    """The least times: other work on the machine lengthens some, and with enough of them none."""
    asked = {"known": "tom.manager@cosmo.example", "unknown": "nobody.at.all@cosmo.example"}
    least = dict.fromkeys(asked, 60.0)
    bodies = set()
    for round_ in range(45):  # from so many networks, below every limit
        for name, email in asked.items():
            started = time.perf_counter()
            answer = send_json(server, "/api/auth/password/reset/", {"email": email}, address=f"127.5.0.{round_ + 1}")
            least[name] = min(least[name], time.perf_counter() - started)
            bodies.add((answer.status_code, answer.content))
        if round_ >= 15 and abs(least["known"] - least["unknown"]) < 0.005:
            break

    assert len(bodies) == 1
    assert abs(least["known"] - least["unknown"]) < 0.005, least


def test_the_page_that_asks_for_a_mail_answers_alike(server):
    def ask(email: str) -> tuple[int, str, str]:
        browser = Browser(server)
        browser.get("/accounts/password-reset/")
        answer = browser.post("/accounts/password-reset/", {"email": email})
        shown = browser.get(answer.headers["Location"])
        return answer.status_code, answer.headers["Location"], shown.text

    assert ask("tom.manager@cosmo.example") == ask("nobody.at.all@cosmo.example")


def work_of(server: Server) -> float:
    """Seconds that its workers have computed, which no other work on the machine lengthens."""
    return sum(sum(worker.cpu_times()[:2]) for worker in psutil.Process(server.process.pid).children())


@pytest.mark.parametrize("site", ["/admin", "/manager"])
def test_rejected_login_reveals_no_account_by_text_or_time(server, victims, site):
    """Nine tenths of the time is the password check. An account without that check would respond much faster."""
    gone = next(victims)
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    assert server.request("DELETE", f"/api/users/{gone.pk}/", headers=root).status_code == 204
    attempts = {
        "nobody": ("nobody.at.all", "wrong"),
        "a wrong password": ("grace.admin", "wrong"),
        "no right to this site": ("carla.cleaner", server.passwords["carla.cleaner"]),
        "disabled": (gone.name, OLD),
    }
    work, pages = {}, set()
    for name, (username, password) in attempts.items():
        before = work_of(server)
        for number in range(6):
            browser = Browser(
                server, f"127.{1 if site == '/admin' else 2}.0.{number + 2}"
            )  # so that no limit is reached
            browser.get(f"{site}/login/")
            answer = browser.post(f"{site}/login/", {"username": username, "password": password})
            text = re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", answer.text.replace(username, "NAME"))
            pages.add((answer.status_code, text, *sorted(answer.headers.keys() - {"Content-Length"})))
        work[name] = work_of(server) - before

    assert len(pages) == 1
    assert min(work.values()) > 0.6 * max(work.values()), work


def test_a_name_in_other_letters_is_no_second_account(server, victim):
    """The Kelvin sign is a k in lower case, and the mail goes where the account's mail goes."""
    for email in (f"{victim.name}@example.com".upper(), f"{victim.name}@EXAMPLE.com"):
        assert server.request("POST", "/api/auth/password/reset/", json={"email": email}).status_code == 200
    root = server.sign_in("root.admin", server.passwords["root.admin"])
    for name, email in (
        (victim.name.upper(), "other@example.com"),
        ("other", f"{victim.name}@EXAMPLE.com"),
        ("other", "\u212a@example.com"),
        ("vi\u0441tim", "other@example.com"),
    ):
        body = {"username": name, "email": email, "role": "staff"}
        assert server.request("POST", "/api/users/", json=body, headers=root).status_code == 400
