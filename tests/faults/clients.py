"""Clients that keep sending requests during a fault, and record every response."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.logs import wait_until

LONGEST = 40.0  # seconds a client waits for a response
GOOD = {200, 201}
BACK_WITHIN = 5.0  # seconds
QUIET = 1.5  # seconds without a failure, after which the service has recovered
PAUSE = 0.05  # seconds between two requests of one client
AFTER_FAILURE = 0.3  # seconds; shorter than Retry-After, so that many requests meet a short outage


@dataclass(frozen=True)
class Answer:
    what: str
    began: float  # monotonic
    seconds: float
    status: int  # 0: no response
    code: str = ""  # of the problem details
    retry_after: str = ""
    request_id: str = ""

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass
class Clients:
    """Repeat each request in its own thread while the block runs."""

    url: str
    headers: dict[str, str]
    answers: list[Answer] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)  # {idempotency key: task id}
    tried: set[str] = field(default_factory=set)  # idempotency keys or titles
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
            assert not thread.is_alive(), "a client never got a response"
        for what in sorted({answer.what.partition("?")[0] for answer in self.answers}):
            times = ", ".join(f"{status} x {count}" for status, count in sorted(self.statuses(what).items()))
            print(f"{what}: {times}; longest {self.longest(what):.2f} s")  # noqa: T201 - pytest -rP shows the numbers

    def _repeat(self, ask: "Ask") -> None:
        while not self._stop.is_set():
            answer = ask(self)
            self._stop.wait(PAUSE if answer.status in GOOD else AFTER_FAILURE)

    def ask(self, method: str, path: str, **options: Any) -> tuple[Answer, dict[str, Any]]:
        """Send one request on its own connection; return its result and the response body."""
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
        """Count the statuses of the requests that began in this period."""
        return Counter(answer.status for answer in self.of(what) if after <= answer.began < before)

    def wait_until_back(self, since: float) -> None:
        """Wait until all kinds of requests succeed again and none fails; fail after BACK_WITHIN seconds."""
        wait_until(lambda: self._is_back(since), seconds=BACK_WITHIN + QUIET)
        print(f"back after {max(0.0, self._last_failure(since) - since):.1f} s")  # noqa: T201

    def _is_back(self, since: float) -> bool:
        served = {answer.what for answer in self.answers if answer.began > since and answer.status in GOOD}
        expected = {answer.what for answer in self.answers}
        return served >= expected and time.monotonic() > self._last_failure(since) + QUIET

    def _last_failure(self, since: float) -> float:
        failures = [answer.ended for answer in self.answers if answer.status not in GOOD and not is_running(answer)]
        return max([since, *failures])

    def longest(self, what: str = "") -> float:
        return max(answer.seconds for answer in self.of(what))


Ask = Callable[[Clients], Answer]


def read_tasks(clients: Clients) -> Answer:
    return clients.ask("GET", "/api/tasks/?page_size=5")[0]


def probe(name: str) -> Ask:
    return lambda clients: clients.ask("GET", f"/api/health/{name}")[0]


def create_task(clients: Clients) -> Answer:
    """Create a task like a careful client: repeat the request with the same key until it succeeds."""
    key = f"task-{uuid.uuid4().hex}"
    clients.tried.add(key)
    body = {"title": key, "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    while True:
        answer, task = clients.ask("POST", "/api/tasks/", json=body, headers={"Idempotency-Key": key})
        if answer.status == 201:
            clients.acknowledged[key] = task["id"]
        if answer.status == 201 or clients._stop.is_set():
            return answer
        clients._stop.wait(AFTER_FAILURE)


def careless_create_task(clients: Clients) -> Answer:
    """Create a task with one request and without a key."""
    title = f"task-{uuid.uuid4().hex}"
    clients.tried.add(title)
    body = {"title": title, "task_type": "cleaning", "property": 1, "due_date": "2030-05-31T15:00:00Z"}
    answer, task = clients.ask("POST", "/api/tasks/", json=body)
    if answer.status == 201:
        clients.acknowledged[title] = task["id"]
    return answer


def assert_kept(clients: Clients, rows: Sequence[tuple[int, str]]) -> None:
    """Check that each acknowledged task exists and no task exists twice. `rows` are (id, title) of all tasks."""
    stored = {title: number for number, title in rows}
    counts = Counter(title for _, title in rows if title in clients.tried)
    assert clients.acknowledged, "no task was acknowledged"
    lost = {key: number for key, number in clients.acknowledged.items() if stored.get(key) != number}
    assert lost == {}
    assert [key for key, count in counts.items() if count > 1] == []


def refusals(clients: Clients, what: str = "") -> Iterator[Answer]:
    """Yield the failed requests, and check the status, code and Retry-After of each."""
    for answer in clients.of(what):
        if is_running(answer):
            assert answer.retry_after == "1", answer
        elif answer.status not in GOOD:
            assert (answer.status, answer.code, answer.retry_after) == (503, "service_unavailable", "5"), answer
            yield answer


def is_running(answer: Answer) -> bool:
    """Return whether an aborted request still holds its idempotency key, which it does for WEB_TIMEOUT."""
    return (answer.status, answer.code) == (409, "idempotency_key_running")
