"""PostgreSQL goes away, comes back, stands still, is locked, takes no writes, and has no connection or no room left.

Whatever it does: liveness stays 200, readiness tells the truth, clients get what was promised, no acknowledged write is
lost and none is done twice, the log says why, and nothing needs a restart.
"""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.database.postgres import EXCHANGE_TIMEOUT, PING_TIMEOUT
from tests.faults import postgres
from tests.faults.clients import Answer, Clients, assert_kept, create_task, probe, read_tasks, refusals
from tests.faults.postgres import Portfolio
from tests.live.server import Server, environment, serving

pytestmark = pytest.mark.fault
SECONDS = float(os.environ.get("FAULT_SECONDS", "3"))  # duration of a failure
NOISE = 1.0  # seconds of tolerance for a busy machine
WORKERS = 2
POOL_TIMEOUT = 2  # seconds; a request may need a connection again, to take its Idempotency-Key back


@pytest.fixture
def _short_claims(variables):
    """Release the key of a failed write soon, because an outage may hit every client that writes."""
    variables["WEB_TIMEOUT"] = "5"


@pytest.fixture
def server(tmp_path, variables):
    with serving(variables, tmp_path / "console") as running:
        yield running


@pytest.fixture
def clients(server, portfolio) -> Clients:
    """Return six clients that read and write, fewer than the server has threads."""
    headers = server.sign_in("maria.manager", portfolio.passwords["maria.manager"])
    asks = [read_tasks, read_tasks, create_task, create_task, probe("live/"), probe("ready/")]
    return Clients(server.url, headers).asking(*asks)


def sign_in(server: Server, portfolio: Portfolio) -> int:
    body = {"username": "daniel.manager", "password": portfolio.passwords["daniel.manager"]}
    return server.request("POST", "/api/auth/login/", json=body).status_code


def assert_alive(clients: Clients) -> None:
    assert set(clients.statuses("GET /api/health/live/")) == {200}
    assert clients.longest("GET /api/health/live/") < NOISE


def failed_responses(clients: Clients, within: float = 2 * POOL_TIMEOUT) -> list[Answer]:
    """Return the failed responses; each must be a 503 in time."""
    answers = [*refusals(clients, "GET /api/tasks/"), *refusals(clients, "POST")]
    assert all(answer.seconds < within + NOISE for answer in answers), max(answer.seconds for answer in answers)
    assert set(clients.statuses()) <= {200, 201, 409, 503}
    assert all(answer.seconds < 2.5 + NOISE for answer in clients.of("GET /api/health/ready/"))
    return answers


def assert_outage_logged(server: Server, answers: list[Answer]) -> None:
    """Assert that the log has the cause of each 503, and a few lines about the pool's attempts."""
    told = server.logs.entries("error", event="database_unavailable")
    assert all("exception" in entry for entry in told)
    assert server.logs.entries("info", event="unhandled_exception") == []
    assert len(server.logs.entries("info", logger="psycopg.pool")) <= 4 * WORKERS
    lines_of = {entry["request"]["id"] for entry in server.logs.entries("performance", status_code=503)}
    refused = {answer.request_id for answer in answers}
    assert refused <= lines_of
    assert refused <= {entry["request"]["id"] for entry in told}


def assert_probes_logged(server: Server) -> None:
    failures = server.logs.entries("error", event="health_check_failed")
    recoveries = server.logs.entries("info", event="health_check_recovered")
    assert {"database"} <= {entry["check"] for entry in failures} <= {"database", "migrations"}
    assert len(failures) == len(recoveries) <= 3 * WORKERS


@pytest.mark.usefixtures("_short_claims")
def test_clients_recover_when_the_database_was_down(server, clients, portfolio):
    with clients:
        time.sleep(1)
        portfolio.cluster.stop()
        down = time.monotonic()
        time.sleep(SECONDS)
        page = server.request("GET", "/admin/", cookies={"sessionid": "a" * 32})
        with ThreadPoolExecutor(6) as people:
            refused_people = set(people.map(lambda _: sign_in(server, portfolio), range(6)))
        portfolio.cluster.start()
        back = time.monotonic()
        clients.wait_until_back(back)

    assert_alive(clients)
    answers = failed_responses(clients)
    assert answers
    assert 503 in clients.statuses("GET /api/health/ready/", after=down, before=back)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert page.headers["Content-Type"].startswith("text/html")
    assert refused_people == {503}
    assert sign_in(server, portfolio) == 200  # attempts during the outage do not count
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)
    assert_probes_logged(server)


@pytest.mark.usefixtures("_short_claims")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "at once, as after a crash"])
def test_clients_recover_when_the_database_restarted(server, clients, portfolio, how):
    with clients:
        time.sleep(1)
        portfolio.cluster.stop(how)
        portfolio.cluster.start()
        back = time.monotonic()
        clients.wait_until_back(back)

    assert_alive(clients)
    failed_responses(clients)
    assert_kept(clients, portfolio.tasks())


def test_requests_end_in_time_when_the_database_is_frozen(server, clients, portfolio):
    """Running requests wait longest, and their threads are released too."""
    with clients:
        time.sleep(1)
        with portfolio.cluster.locked(portfolio.name, "api_task"):
            time.sleep(0.5)  # now every client is executing a statement
            with portfolio.cluster.frozen():
                frozen = time.monotonic()
                time.sleep(max(SECONDS, EXCHANGE_TIMEOUT + 2))
                thawed = time.monotonic()
        clients.wait_until_back(thawed)

    assert_alive(clients)
    answers = failed_responses(clients, within=EXCHANGE_TIMEOUT + POOL_TIMEOUT + PING_TIMEOUT)
    assert max(answer.seconds for answer in answers) > EXCHANGE_TIMEOUT - 2
    assert set(clients.statuses("GET /api/health/ready/", after=frozen + 1.5, before=thawed - 2)) == {503}
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)
    assert_probes_logged(server)


def test_only_one_table_is_busy_when_it_is_locked(server, clients, portfolio):
    with clients:
        time.sleep(1)
        with portfolio.cluster.locked(portfolio.name, "api_task"):
            time.sleep(SECONDS)
            others = server.request("GET", "/api/auth/me/", headers=clients.headers)
            unlocked = time.monotonic()
        clients.wait_until_back(unlocked)

    assert_alive(clients)
    answers = failed_responses(clients)
    assert answers
    assert others.status_code == 200
    assert set(clients.statuses("GET /api/health/ready/")) == {200}
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)


def test_requests_return_503_when_the_database_is_out_of_connections(server, clients, portfolio):
    with clients:
        time.sleep(1)
        with portfolio.cluster.full_of_sessions():
            full = time.monotonic()
            time.sleep(SECONDS)
            free = time.monotonic()
        clients.wait_until_back(free)

    assert_alive(clients)
    answers = failed_responses(clients)
    assert answers
    assert 503 in clients.statuses("GET /api/health/ready/", after=full, before=free)
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)
    assert "remaining connection slots" in server.logs.text("info.log")


@pytest.fixture
def small_disk(template):
    """Return the name of a tablespace of 48 MB and its folder."""
    folder = template.cluster.folder / "small"
    with postgres.small_disk(folder, 48):
        (folder / "data").mkdir(mode=0o700)
        os.chown(folder / "data", template.cluster.data.stat().st_uid, -1)
        template.cluster.execute(f"CREATE TABLESPACE small LOCATION '{folder / 'data'}'")
        yield folder


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")


@as_root
def test_reads_work_when_the_database_disk_is_full(tmp_path, template, small_disk):
    cluster = template.cluster
    name = postgres.new_database(cluster, template=template.name, tablespace="small")
    with serving(environment(tmp_path, DATABASE_URL=cluster.url(name)), tmp_path / "console") as server:
        headers = server.sign_in("maria.manager", template.passwords["maria.manager"])
        clients = Clients(server.url, headers)
        asks = [read_tasks, create_task, create_task, probe("live/"), probe("ready/")]
        with clients.asking(*asks):
            time.sleep(1)
            with postgres.filled(small_disk):
                full = time.monotonic()
                time.sleep(SECONDS)
                freed = time.monotonic()
            clients.wait_until_back(freed)

        assert_alive(clients)
        answers = failed_responses(clients)
        assert answers
        assert {answer.what for answer in answers} == {"POST /api/tasks/"}
        assert set(clients.statuses("GET", after=full)) == {200}
        assert_kept(clients, cluster.execute("SELECT id, title FROM api_task", name))
        assert_outage_logged(server, answers)
        assert "No space left on device" in server.logs.text("error.log")
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    cluster.execute("DROP TABLESPACE small")


@pytest.fixture
def wal_disk(portfolio):
    """Return the folder of a small disk that holds the write-ahead log."""
    with portfolio.cluster.wal_on_small_disk() as folder:
        yield folder


@as_root
@pytest.mark.usefixtures("_short_claims")
def test_clients_recover_when_the_write_ahead_log_disk_is_full(wal_disk, server, clients, portfolio):
    """PostgreSQL panics during a commit and cannot recover before there is space."""
    cluster = portfolio.cluster
    with clients:
        time.sleep(1)
        with postgres.filled(wal_disk):
            cluster.need_more_wal()
            full = time.monotonic()
            time.sleep(SECONDS)
            freed = time.monotonic()
        if cluster.has_ended():
            cluster.start()
        clients.wait_until_back(freed)

    assert re.search("PANIC: .* No space left on device", cluster.log)
    assert_alive(clients)
    answers = failed_responses(clients)
    assert answers
    assert 503 in clients.statuses("GET /api/health/ready/", after=full, before=freed)
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)
    assert_probes_logged(server)


@pytest.mark.usefixtures("_short_claims")
@pytest.mark.parametrize("how", ["a standby", "by default"])
def test_reads_work_when_the_database_is_read_only(server, clients, portfolio, how):
    cluster = portfolio.cluster
    browser = server.browser("/manager/", "daniel.manager", portfolio.passwords["daniel.manager"])
    cluster.execute("UPDATE api_session SET last_seen_at = last_seen_at - interval '1 hour'", portfolio.name)
    with clients:
        time.sleep(1)
        with cluster.standby() if how == "a standby" else cluster.read_only(portfolio.name):
            time.sleep(NOISE)  # the previous sessions have ended
            read_only = time.monotonic()
            time.sleep(SECONDS)
            page = browser.get(f"{server.url}/manager/api/task/", timeout=30)
            person = sign_in(server, portfolio)
            writable = time.monotonic()
        clients.wait_until_back(writable)

    assert_alive(clients)
    answers = failed_responses(clients)
    assert set(clients.statuses("POST", after=read_only, before=writable - NOISE)) <= {409, 503}
    assert set(clients.statuses("GET", after=read_only)) == {200}
    assert page.status_code == 200
    assert person == 503
    assert_kept(clients, portfolio.tasks())
    assert_outage_logged(server, answers)
    assert "read-only transaction" in server.logs.text("error.log")


def test_hundred_probes_cost_one_query_per_second(server, portfolio):
    statement = "statement: SELECT 1"
    portfolio.cluster.execute(f"ALTER DATABASE {portfolio.name} SET log_statement = 'all'")
    portfolio.cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cosmo'")
    server.request("GET", "/api/health/")
    before, began = portfolio.cluster.log.count(statement), time.monotonic()

    answers = [server.request("GET", "/api/health/") for _ in range(200)]

    seconds = time.monotonic() - began
    assert {answer.status_code for answer in answers} == {200}
    assert portfolio.cluster.log.count(statement) - before <= (seconds + 1) * WORKERS
