"""Test the rules with promtool, and a real Prometheus with a real server."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from backend.telemetry import metrics, process_metrics
from tests.live.server import PROJECT, Server, environment, fresh_database, manage, serving
from tests.logs import wait_until
from tests.smtp import free_port, mail_server

pytestmark = pytest.mark.fault
DEPLOY = PROJECT / "deploy" / "prometheus"
TOKEN = "a-token-of-machines"


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_pass_promtool_and_every_alert_is_tested():
    run("promtool", "check", "rules", "rules.yml")
    run("promtool", "test", "rules", "rules_test.yml")

    alerts = re.findall(r"alert: (\w+)", (DEPLOY / "rules.yml").read_text())
    tested = (DEPLOY / "rules_test.yml").read_text()
    assert [alert for alert in alerts if tested.count(f"alertname: {alert}") < 2] == []


def test_alertmanager_accepts_the_example():
    run("amtool", "check-config", "alertmanager.yml")


def test_watched_events_are_exported_from_the_start():
    watched = "\n".join([(DEPLOY / "rules.yml").read_text(), *(expr for _, expr in panel_queries())])

    named = set("|".join(re.findall(r'event=~?"([a-z_|]+)"', watched)).split("|"))
    assert named - set(process_metrics.EVENTS) == set(metrics.WATCHED_EVENTS)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus with our files and a scrape interval of one second; yield its URL."""
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(DEPLOY / name, folder)
    config = (folder / "prometheus.yml").read_text()
    config = (
        config.replace('"127.0.0.1:8001", "127.0.0.1:8002"', f'"{target}"')
        .replace("15s", "1s")
        .partition("alerting:")[0]
    )
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
    assert answer["status"] == "success", (query, answer)
    return answer["data"]["result"]


def panel_queries() -> list[tuple[str, str]]:
    """Return (panel, query) of both dashboards, with values for Grafana's variables."""
    found = []
    for path in sorted((PROJECT / "deploy" / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "20s")
                assert "$" not in expr
                found.append((f"{path.stem}: {panel['title']} {target['refId']}", expr))
    return found


ADA = """
from django.utils import timezone
from api.models import Property, User
ada = User.objects.create_user("ada", "ada@example.com", "a long enough passphrase", role="manager")
made = {"created_by": ada, "modified_by": ada, "created_at": timezone.now(), "modified_at": timezone.now()}
Property.objects.create(name="Loft", address="Quay 1", **made)
"""
JOBS = ("deliver_mail", "send_email_digest", "notify_overdue", "cleanup")


def use(server: Server) -> dict[str, str]:
    """Send requests that succeed and fail; return the headers of an authenticated user."""
    server.request("GET", "/nowhere/")
    server.request("POST", "/api/auth/login/", json={"username": "nobody", "password": "wrong"})
    boss = server.sign_in("ada", "a long enough passphrase")
    body = {"title": "Sweep", "task_type": "cleaning", "property": 1, "due_date": "2026-01-01T12:00:00Z"}
    assert server.request("POST", "/api/tasks/", json=body, headers=boss).status_code == 201
    assert server.request("GET", "/api/tasks/", headers=boss).status_code == 200
    assert server.request("POST", "/api/auth/password/reset/", json={"email": "ada@example.com"}).status_code == 200
    return boss


def test_prometheus_scrapes_server_fills_every_panel_and_notices_its_end(tmp_path):
    with mail_server() as smtp, fresh_database(tmp_path) as database:
        variables = environment(
            tmp_path,
            DATABASE_URL=database,
            METRICS_TOKEN=TOKEN,
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(smtp.port),
        )
        variables.pop("REDIS_URL", None)  # the web process sends emails
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "shell", "--verbosity", "0", "-c", ADA)
        for job in JOBS:
            manage(variables, job)
        with prometheus(tmp_path, variables["WEB_BIND"]) as address:
            with serving(variables, tmp_path / "log") as server:
                wait_until(lambda: ask(address, "up == 1"), seconds=30)
                boss = use(server)
                wait_until(lambda: smtp.mails)
                wait_until(lambda: ask(address, 'sum(increase(cosmo_log_events_total{event="failed_login"}[20s])) > 0'))
                waiting = dict([*rule_queries(), *panel_queries()])
                deadline = time.monotonic() + 60  # business counts are refreshed every 30 seconds
                while waiting and time.monotonic() < deadline:
                    server.request("GET", "/api/tasks/", headers=boss)  # rates need requests
                    waiting = {name: query for name, query in waiting.items() if not has_data(address, query, name)}
                assert waiting == {}

            wait_until(lambda: ask(address, "up == 0"), seconds=10)
            wait_until(lambda: ask(address, 'ALERTS{alertname="CosmoNotScraped", alertstate="pending"}'), seconds=10)


def has_data(address: str, query: str, name: str) -> bool:
    """Return whether this query has data; alert queries must be valid but may be empty."""
    found = ask(address, query)
    if name.startswith("alert"):
        return True
    return bool(found) and not any(sample["value"][1] in {"NaN", "+Inf"} for sample in found)


def rule_queries() -> list[tuple[str, str]]:
    groups = yaml.safe_load((DEPLOY / "rules.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = [(f"record: {rule['record']}", rule["record"]) for rule in rules if "record" in rule]
    return recorded + [(f"alert: {rule['alert']}", rule["expr"]) for rule in rules if "alert" in rule]
