"""Clients that go on asking while something breaks, and remember every answer."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.logs import wait_until

LONGEST = 40.0  # seconds that a client waits
GOOD = {200, 201}
BACK_WITHIN = 5.0  # seconds
QUIET = 1.5  # seconds without a refusal, after which nobody expects another
PAUSE = 0.05  # seconds between two requests of one client
AFTER_REFUSAL = 0.3  # seconds; less than Retry-After asks for, so that a short outage is seen from many sides


@dataclass(frozen=True)
class Answer:
    what: str
    began: float  # monotonic
    seconds: float
    status: int  # 0: none came
    code: str = ""  # of the problem
    retry_after: str = ""
    request_id: str = ""

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass
class Clients:
    """Each of `asks` is repeated in a thread of its own, from entering the block to leaving it."""

    url: str
    headers: dict[str, str]
    answers: list[Answer] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)  # {idempotency key: task id}
    tried: set[str] = field(default_factory=set)  # keys
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def asking(self, *asks: "Ask") -> "Clients":
        self._threads = [threading.Thread(target=self._repeat, args=(ask,)) for ask in asks]
        return self

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=LONGEST + 5)
            assert not thread.is_alive(), "a client was never answered"
        for what in sorted({answer.what.partition("?")[0] for answer in self.answers}):
            times = ", ".join(f"{status} x {count}" for status, count in sorted(self.statuses(what).items()))
            print(f"{what}: {times}; longest {self.longest(what):.2f} s")  # noqa: T201 - pytest -rP shows the figures

    def _repeat(self, ask: "Ask") -> None:
        while not self._stop.is_set():
            answer = ask(self)
            self._stop.wait(PAUSE if answer.status in GOOD else AFTER_REFUSAL)

    def ask(self, method: str, path: str, **options: Any) -> tuple[Answer, dict[str, Any]]:
        """One request on a connection of its own, and the body of its answer."""
        headers = self.headers | options.pop("headers", {})
        began = time.monotonic()
        try:
            response = requests.request(method, self.url + path, headers=headers, timeout=LONGEST, **options)
        except requests.RequestException as error:
            answer = Answer(f"{method} {path}", began, time.monotonic() - began, 0, code=type(error).__name__)
            self.answers.append(answer)
            return answer, {}
        is_json = "json" in response.headers.get("Content-Type", "")
        body = response.json() if is_json else {}
        is_problem = response.headers.get("Content-Type") == "application/problem+json"
        answer = Answer(
            what=f"{method} {path}",
            began=began,
            seconds=time.monotonic() - began,
            status=response.status_code,
            code=body["code"] if is_problem else "",
            retry_after=response.headers.get("Retry-After", ""),
            request_id=response.headers.get("X-Request-ID", ""),
        )
        self.answers.append(answer)
        return answer, body

    def of(self, what: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.what.startswith(what)]

    def statuses(self, what: str = "", *, after: float = 0.0, before: float = float("inf")) -> Counter[int]:
        """How often each status came, of the requests that began in this span."""
        return Counter(answer.status for answer in self.of(what) if after <= answer.began < before)

    def wait_until_back(self, since: float) -> None:
        """Until everybody is served again and nobody is refused; fails where that takes too long."""
        wait_until(lambda: self._is_back(since), seconds=BACK_WITHIN + QUIET)
        print(f"back after {max(0.0, self._last_refusal(since) - since):.1f} s")  # noqa: T201

    def _is_back(self, since: float) -> bool:
        served = {answer.what for answer in self.answers if answer.began > since and answer.status in GOOD}
        everybody = {answer.what for answer in self.answers}
        return served >= everybody and time.monotonic() > self._last_refusal(since) + QUIET

    def _last_refusal(self, since: float) -> float:
        refused = [one.ended for one in self.answers if one.status not in GOOD and not is_running(one)]
        return max([since, *refused])

    def longest(self, what: str = "") -> float:
        return max(answer.seconds for answer in self.of(what))


Ask = Callable[[Clients], Answer]


def read_tasks(clients: Clients) -> Answer:
    return clients.ask("GET", "/api/tasks/?page_size=5")[0]


def probe(name: str) -> Ask:
    return lambda clients: clients.ask("GET", f"/api/health/{name}")[0]


def create_task(clients: Clients) -> Answer:
    """A task, asked for with one key until it is acknowledged, as a careful client does."""
    key = f"task-{uuid.uuid4().hex}"
    clients.tried.add(key)
    body = {"title": key, "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    while True:
        answer, task = clients.ask("POST", "/api/tasks/", json=body, headers={"Idempotency-Key": key})
        if answer.status == 201:
            clients.acknowledged[key] = task["id"]
        if answer.status == 201 or clients._stop.is_set():
            return answer
        clients._stop.wait(AFTER_REFUSAL)


def careless_create_task(clients: Clients) -> Answer:
    """A task, asked for once and without a key."""
    title = f"task-{uuid.uuid4().hex}"
    clients.tried.add(title)
    body = {"title": title, "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    answer, task = clients.ask("POST", "/api/tasks/", json=body)
    if answer.status == 201:
        clients.acknowledged[title] = task["id"]
    return answer


def assert_kept(clients: Clients, rows: Sequence[tuple[int, str]]) -> None:
    """Every acknowledged task is there once; nothing was done twice. `rows` are (id, title) of all tasks."""
    stored = {title: number for number, title in rows}
    times = Counter(title for _, title in rows if title in clients.tried)
    assert clients.acknowledged, "no task was ever acknowledged"
    lost = {key: number for key, number in clients.acknowledged.items() if stored.get(key) != number}
    assert lost == {}
    assert [key for key, count in times.items() if count > 1] == []


def refusals(clients: Clients, what: str = "") -> Iterator[Answer]:
    """What was refused, each in the way that was promised."""
    for answer in clients.of(what):
        if is_running(answer):
            assert answer.retry_after == "1", answer
        elif answer.status not in GOOD:
            assert (answer.status, answer.code, answer.retry_after) == (503, "service_unavailable", "5"), answer
            yield answer


def is_running(answer: Answer) -> bool:
    """Whether the key of a request that died without an end is still kept for it, which it is for WEB_TIMEOUT."""
    return (answer.status, answer.code) == (409, "idempotency_key_running")
