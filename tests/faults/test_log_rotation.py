"""Four processes write one file during rotations: no line is lost, torn or duplicated."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.writers import PROJECT, WRITERS, count_lines, lines_of, writing

pytestmark = pytest.mark.fault
LINES = int(os.environ.get("LOG_LINES", "100000"))  # of each writer


def all_lines(lines: int) -> set[tuple[int, int]]:
    return {(writer, number) for writer in range(WRITERS) for number in range(lines)}


def test_internal_rotation_keeps_every_line_once(tmp_path):
    path = tmp_path / "info.log"

    with writing("ours", path, lines=LINES, max_bytes=200_000):
        pass

    line_counts, torn = count_lines(path)
    assert torn == 0
    assert set(line_counts) == all_lines(LINES)
    assert set(line_counts.values()) == {1}
    assert len(list(tmp_path.glob("info.log.*"))) > LINES / 1_000


def test_standard_library_handler_loses_lines(tmp_path):
    path = tmp_path / "info.log"

    with writing("stdlib", path, lines=5_000, max_bytes=200_000):
        pass

    assert len(count_lines(path)[0]) < 5_000 * WRITERS


def test_killed_writer_damages_no_other_line(tmp_path):
    path = tmp_path / "info.log"
    torn = 0
    for round_number in range(10):
        with writing("ours", path, lines=400, padding=8_000, max_bytes=3_000_000) as writers:
            time.sleep(0.02 + round_number / 100)
            writers[0].kill()
            writers[1].kill()
        line_counts, torn = count_lines(path)
        assert all(line_counts[writer, number] == round_number + 1 for writer in (2, 3) for number in range(400))

    assert torn <= 20


def test_line_after_a_half_line_is_whole(tmp_path):
    path = tmp_path / "info.log"
    path.write_bytes(b'{"half":')

    with writing("ours", path, lines=1):
        pass

    first, *others = lines_of(path)
    assert first == b'{"half":\n'
    assert sorted(json.loads(line)["writer"] for line in others) == [0, 1, 2, 3]


needs_logrotate = pytest.mark.skipif(
    shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin:/bin") is None and "CI" not in os.environ,
    reason="logrotate is not installed",
)


def rotate_until_done(writers: list["subprocess.Popen[str]"], config: Path) -> int:
    """Force logrotate repeatedly during the writes, and return the number of rotations."""
    environment = os.environ | {
        "PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}",
        "RUNTIME_DIRECTORY": str(config.parent),
    }
    rounds = 0
    while any(writer.poll() is None for writer in writers):
        subprocess.run(
            ["logrotate", "--force", "--state", str(config.with_suffix(".state")), str(config)],
            env=environment,
            check=True,
        )
        rounds += 1
        time.sleep(0.05)
    return rounds


def logrotate_config(folder: Path, *lines: str) -> Path:
    config = folder / "logrotate.conf"
    body = "\n".join(["missingok", "rotate 1000", "notifempty", *lines])
    config.write_text(f"{folder}/logs/*.log {{\n{body}\n}}\n")
    config.chmod(0o644)
    return config


@needs_logrotate
def test_logrotate_in_create_mode_loses_no_line(tmp_path):
    (tmp_path / "logs").mkdir(mode=0o750)
    path = tmp_path / "logs" / "info.log"
    config = logrotate_config(tmp_path, "create 0640")

    with writing("ours", path, lines=LINES) as writers:
        rounds = rotate_until_done(writers, config)

    line_counts, torn = count_lines(path)
    assert torn == 0
    assert set(line_counts) == all_lines(LINES)
    assert set(line_counts.values()) == {1}
    assert rounds > 5


@needs_logrotate
def test_shipped_logrotate_file_loses_no_line(tmp_path):
    (tmp_path / "logs").mkdir(mode=0o750)
    path = tmp_path / "logs" / "info.log"
    shipped = (PROJECT / "deploy" / "logrotate" / "cosmo").read_text()
    config = tmp_path / "logrotate.conf"
    config.write_text(
        shipped.replace("/var/log/cosmo", f"{tmp_path}/logs")
        .replace("/opt/cosmo", str(PROJECT))
        .replace("rotate 30", "rotate 1000")
    )
    config.chmod(0o644)

    with writing("ours", path, lines=LINES) as writers:
        rounds = rotate_until_done(writers, config)

    line_counts, torn = count_lines(path)
    assert torn == 0
    assert set(line_counts) == all_lines(LINES)
    assert set(line_counts.values()) == {1}
    assert rounds > 5
    assert list((tmp_path / "logs").glob("info.log.*.gz"))


@needs_logrotate
def test_copytruncate_without_the_hook_loses_lines(tmp_path):
    (tmp_path / "logs").mkdir(mode=0o750)
    path = tmp_path / "logs" / "info.log"
    config = logrotate_config(tmp_path, "copytruncate")

    with writing("ours", path, lines=50_000) as writers:
        rounds = rotate_until_done(writers, config)

    lost = 50_000 * WRITERS - len(count_lines(path)[0])
    print(f"copytruncate without the hook: {lost} of {50_000 * WRITERS} lines lost in {rounds} rotations")  # noqa: T201
    assert lost > 0
