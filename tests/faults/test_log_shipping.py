"""rsyslog with the shipped configuration parses every line, also during rotations."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.writers import PROJECT, WRITERS, writing
from tests.logs import wait_until

pytestmark = pytest.mark.fault
LINES = 2_000  # of each writer


@pytest.mark.skipif(
    shutil.which("rsyslogd", path="/usr/sbin:/usr/bin") is None and "CI" not in os.environ,
    reason="rsyslog is not installed",
)
def test_rsyslog_parses_every_line(tmp_path):
    logs, shipped = tmp_path / "logs", tmp_path / "shipped.log"
    logs.mkdir()
    ours = (PROJECT / "deploy" / "log-shipping" / "rsyslog.conf").read_text()
    ours = ours.replace("/var/log/cosmo/", f"{logs}/").replace("/var/log/cosmo-", f"{tmp_path}/")
    config = tmp_path / "rsyslog.conf"
    config.write_text(f'global(workDirectory="{tmp_path}")\n{ours}')
    command = ["/usr/sbin/rsyslogd", "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
    with (tmp_path / "output").open("wb") as output:
        rsyslog = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        with writing("ours", logs / "info.log", lines=LINES, padding=200, max_bytes=1_000_000):
            pass
        wait_until(lambda: shipped.exists() and line_count(shipped) >= LINES * WRITERS, seconds=30)
    finally:
        rsyslog.terminate()
        rsyslog.wait(timeout=20)

    line_counts = set()
    for line in shipped.read_text().splitlines():
        timestamp, level, service, _, record = line.split(" ", 4)
        entry = json.loads(record)
        assert (timestamp, level, service) == (entry["timestamp"], "INFO", "cosmo-backend")
        line_counts.add((entry["writer"], entry["number"]))
    assert line_counts == {(writer, number) for writer in range(WRITERS) for number in range(LINES)}
    assert len(list(logs.glob("info.log.*"))) >= 2
    assert not (tmp_path / "not-parsed.log").exists()


def line_count(path: Path) -> int:
    return path.read_bytes().count(b"\n")
