"""The rules by Prometheus' own tools, and a real Prometheus that reads a real server."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from backend import metrics
from tests.live.server import PROJECT, environment, manage, serving
from tests.logs import wait_until
from tests.smtp import free_port

pytestmark = pytest.mark.fault
DEPLOY = PROJECT / "deploy" / "prometheus"
TOKEN = "a-token-of-machines"


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_hold_and_each_alert_is_tested():
    run("promtool", "check", "rules", "rules.yml")
    run("promtool", "test", "rules", "rules_test.yml")

    alerts = re.findall(r"alert: (\w+)", (DEPLOY / "rules.yml").read_text())
    tested = (DEPLOY / "rules_test.yml").read_text()
    assert [alert for alert in alerts if tested.count(f"alertname: {alert}") < 2] == []


def test_the_alertmanager_takes_its_example():
    run("amtool", "check-config", "alertmanager.yml")


def test_every_event_that_an_alert_watches_is_there_from_the_start():
    rules = (DEPLOY / "rules.yml").read_text()

    assert set(re.findall(r'event="(\w+)"', rules)) == set(metrics.ALERTED)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """The address of a Prometheus with our files, asking every second."""
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(DEPLOY / name, folder)
    config = (folder / "prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("127.0.0.1:8000", target).partition("alerting:")[0]
    (folder / "prometheus.yml").write_text(config)
    (folder / "metrics-token").write_text(TOKEN)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address={address}"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(address: str, query: str) -> list[dict[str, Any]]:
    try:
        answer = requests.get(f"{address}/api/v1/query", params={"query": query}, timeout=5).json()
    except requests.ConnectionError:
        return []
    return answer["data"]["result"]


def test_a_real_prometheus_reads_a_real_server_and_sees_it_go(tmp_path):
    variables = environment(tmp_path, METRICS_TOKEN=TOKEN)
    manage(variables, "migrate", "--verbosity", "0")
    target = variables["WEB_BIND"]
    with prometheus(tmp_path, target) as address:
        with serving(variables, tmp_path / "log") as server:
            wait_until(lambda: ask(address, "up == 1"), seconds=30)
            for _ in range(3):
                server.request("GET", "/api/tasks/")
                server.request("POST", "/api/auth/login/", json={"username": "nobody", "password": "wrong"})
            queries = [
                *re.findall(r"record: (\S+)", (DEPLOY / "rules.yml").read_text()),
                'sum(increase(cosmo_log_events_total{event="failed_login"}[1m])) > 0',
                "cosmo_tasks_overdue",
                "cosmo_worker_memory_megabytes > 10",
            ]
            for query in queries:
                wait_until(lambda query=query: ask(address, query), seconds=30)

        wait_until(lambda: ask(address, "up == 0"), seconds=10)
        wait_until(lambda: ask(address, 'ALERTS{alertname="CosmoNotScraped", alertstate="pending"}'), seconds=10)
