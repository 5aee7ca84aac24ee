"""Workers are killed and masters restarted under load; clients are slow or disconnect early."""

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.balancers import Nginx, haproxy
from tests.faults.clients import Clients, assert_kept, careless_create_task, create_task, read_tasks
from tests.live.server import PROJECT, Server, environment, serving
from tests.logs import wait_until

pytestmark = pytest.mark.fault
SECONDS = float(os.environ.get("FAULT_SECONDS", "3"))  # of load
DRAIN = "2"  # seconds; two probes and a little more
SLOW = 300  # clients


def workers_of(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


@pytest.fixture
def server(tmp_path, variables):
    with serving(variables, tmp_path / "console") as running:
        yield running


@pytest.fixture
def manager(server, portfolio) -> dict[str, str]:
    return server.sign_in("maria.manager", portfolio.passwords["maria.manager"])


def test_killed_workers_lose_no_acknowledged_write(server, manager, portfolio):
    kills = 0
    clients = Clients(server.url, manager).asking(read_tasks, read_tasks, create_task, create_task)
    with clients:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.8)
            workers_of(server)[0].kill()
            kills += 1
        time.sleep(1.5)

    # No response, or 409 until WEB_TIMEOUT for the key of a killed request.
    unanswered = [answer for answer in clients.answers if answer.status == 0]
    assert kills >= 3
    assert set(clients.statuses()) <= {0, 200, 201, 409}
    assert len(unanswered) <= kills * 4
    assert_kept(clients, portfolio.tasks())
    assert server.logs.text("error.log").count("was sent SIGKILL") == kills


def test_running_requests_complete_when_the_master_stops(server, manager, portfolio):
    """Requests wait for a lock; the master gets TERM; the lock is released."""
    clients = Clients(server.url, manager)
    asks = [threading.Thread(target=careless_create_task, args=(clients,)) for _ in range(4)]
    with portfolio.cluster.locked(portfolio.name, "api_task"):
        for ask in asks:
            ask.start()
        time.sleep(0.7)
        server.process.terminate()
        time.sleep(0.3)
    for ask in asks:
        ask.join(timeout=20)

    assert server.process.wait(timeout=10) == 0
    assert clients.statuses() == {201: 4}
    assert_kept(clients, portfolio.tasks())


def test_hup_under_load_fails_no_request(server, manager, portfolio):
    clients = Clients(server.url, manager).asking(read_tasks, read_tasks, careless_create_task, careless_create_task)
    with clients:
        time.sleep(0.5)
        for _ in range(2):
            before = {worker.pid for worker in workers_of(server)}
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda before=before: before.isdisjoint(w.pid for w in workers_of(server)), seconds=30)
            time.sleep(1)

    assert set(clients.statuses()) == {200, 201}
    assert_kept(clients, portfolio.tasks())


class Instances:
    """Two servers on one database; each can be restarted at its URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.variables, self.stacks = folder, [], [ExitStack(), ExitStack()]
        self.servers: list[Server] = []
        shared = environment(folder, DATABASE_URL=url, TRUSTED_PROXY_COUNT="1", LOGS_DIR=str(folder / "logs"))
        for number in range(2):
            own = environment(folder)["WEB_BIND"]
            self.variables.append(shared | {"WEB_BIND": own, "DRAIN_FILE": str(folder / f"drain{number}")})

    def start(self, number: int) -> Server:
        Path(self.variables[number]["DRAIN_FILE"]).unlink(missing_ok=True)
        running = serving(self.variables[number], self.folder / f"console{number}-{time.monotonic()}")
        return self.stacks[number].enter_context(running)

    def restart(self, number: int) -> None:
        """Restart like deploy/systemd: drain, stop, start."""
        drain = [str(PROJECT / "deploy" / "drain"), self.variables[number]["DRAIN_FILE"], DRAIN]
        subprocess.run(drain, check=True)
        self.stacks[number].close()
        self.start(number)

    @property
    def addresses(self) -> list[str]:
        return [variables["WEB_BIND"] for variables in self.variables]


@pytest.fixture
def instances(tmp_path, portfolio):
    both = Instances(tmp_path, portfolio.url)
    with both.stacks[0], both.stacks[1]:
        both.servers = [both.start(0), both.start(1)]
        yield both


def test_restart_of_both_instances_fails_no_request(tmp_path, instances, portfolio):
    """Behind nginx, where a script marks the instance down, and behind HAProxy, which uses the probe."""
    headers = instances.servers[0].sign_in("maria.manager", portfolio.passwords["maria.manager"])
    with Nginx(tmp_path, instances.addresses) as nginx, haproxy(tmp_path, instances.addresses) as probing:
        asks = [read_tasks, careless_create_task]
        behind_nginx = Clients(nginx.url, headers).asking(*asks)
        behind_haproxy = Clients(probing, headers).asking(*asks)
        with behind_nginx, behind_haproxy:
            time.sleep(1)
            for number, address in enumerate(instances.addresses):
                nginx.leave_out(address)
                instances.restart(number)
                nginx.leave_out("")
                time.sleep(1.5)  # healthy for two probes

    for clients in (behind_nginx, behind_haproxy):
        assert len(clients.answers) > 50
        assert set(clients.statuses()) == {200, 201}
        assert_kept(clients, portfolio.tasks())


@pytest.fixture
def nginx(tmp_path, server):
    with Nginx(tmp_path, [server.environment["WEB_BIND"]]) as front:
        yield front


def test_slow_clients_delay_no_other_client(nginx, manager, portfolio):
    """Each client sends single bytes and never completes its request."""
    stop, held = threading.Event(), []

    def dawdle() -> None:
        address = urlsplit(nginx.url)
        for _ in range(SLOW):
            one = socket.create_connection((address.hostname, address.port))
            one.sendall(b"POST /api/tasks/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            held.append(one)
        while not stop.wait(0.5):
            for one in held:
                one.sendall(b" ")

    slow = threading.Thread(target=dawdle)
    slow.start()
    clients = Clients(nginx.url, manager).asking(read_tasks, read_tasks, create_task)
    try:
        time.sleep(2)
        with clients:
            time.sleep(SECONDS)
    finally:
        stop.set()
        slow.join()
        for one in held:
            one.close()

    assert len(held) == SLOW
    assert set(clients.statuses()) == {200, 201}
    assert clients.longest() < 2
    assert_kept(clients, portfolio.tasks())


@pytest.mark.parametrize("through_nginx", [False, True], ids=["direct", "through nginx"])
def test_disconnecting_clients_disturb_no_other_client(server, nginx, manager, portfolio, through_nginx):
    """Their requests are logged, completed or not, without a traceback."""
    url = nginx.url if through_nginx else server.url
    address = urlsplit(url)
    request = "GET /api/tasks/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n"
    clients = Clients(url, manager).asking(read_tasks, create_task)
    with clients:
        for number in range(300):
            with socket.create_connection((address.hostname, address.port)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST instead of FIN
                text = request.format(manager["Authorization"]).encode()
                one.sendall(text if number % 3 else text[:40])
        time.sleep(2)

    assert set(clients.statuses()) == {200, 201}
    assert_kept(clients, portfolio.tasks())
    assert server.logs.text("error.log") == ""
    assert {worker.status() for worker in workers_of(server)} <= {"running", "sleeping"}
