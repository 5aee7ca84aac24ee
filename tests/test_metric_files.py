"""Metric files of several workers; each worker is a forked process, as with gunicorn."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.live.server import PROJECT

KEY = json.dumps(["requests", "requests_total", {}, "Requests."])
_WORKERS = """
import json, os, sys
from pathlib import Path
from backend.telemetry import metric_files
from backend.telemetry import metric_reader
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
requests = Counter("requests", "Requests.", ["route"])
requests.labels("a")
seconds = Histogram("seconds", "Time.", buckets=[1, 2])
workers = Gauge("workers", "Workers.", multiprocess_mode="livesum")
most = Gauge("most", "The most of one.", multiprocess_mode="livemax")
class All:
    def collect(self):
        return metric_reader.read_all_workers(folder)
def show():
    registry = CollectorRegistry()
    registry.register(All())
    print(generate_latest(registry).decode())
for folder, place, script in json.load(sys.stdin):
    if os.fork():
        assert os.wait()[1] == 0, (folder, place)
        print("# ended", flush=True)
    else:
        folder = Path(folder)
        metric_files.share_values(str(folder), place)
        exec(script)
        sys.stdout.flush()
        os._exit(0)
"""
Job = tuple[Path, str, list[str]]


def workers(*jobs: Job) -> list[dict[str, float]]:
    """Run workers one after the other: each in a folder, at a place, with lines of code. What each showed."""
    given = json.dumps([(str(folder), place, "\n".join(lines)) for folder, place, lines in jobs])
    command = [sys.executable, "-c", _WORKERS]
    done = subprocess.run(command, cwd=PROJECT, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [samples(shown) for shown in done.stdout.split("# ended\n")[:-1]]


def samples(text: str) -> dict[str, float]:
    """{"name{labels}": value}"""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def count(times: int, route: str = "a") -> str:
    return f"requests.labels({route!r}).inc({times})"


COUNTED = 'requests_total{route="a"}'


def test_counters_add_up_and_continue_those_of_the_previous_worker(tmp_path):
    first = [count(2), "workers.set(1)", "most.set(7)", "seconds.observe(0.5)", "seconds.observe(9)"]
    second = [count(30), count(1, "b"), "workers.set(1)", "most.set(3)", "seconds.observe(1.5)"]

    *_, found = workers((tmp_path, "1-0", first), (tmp_path, "1-1", second), (tmp_path, "1-0", [count(400), "show()"]))

    assert found[COUNTED] == 432
    assert found['requests_total{route="b"}'] == 1
    assert [found[f'seconds_bucket{{le="{limit}"}}'] for limit in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert (found["seconds_count"], found["seconds_sum"]) == (3, 11)
    assert (found["workers"], found["most"]) == (1, 3)  # the new worker in place 0 has set no gauge


def test_counters_add_up_when_an_update_changes_the_help_text(tmp_path):
    before = ['Counter("mails", "Mails.").inc(2)']
    after = ['Counter("mails", "Mails that left.").inc(1)', "show()"]

    _, found = workers((tmp_path, "1-0", before), (tmp_path, "1-0", after))

    assert found["mails_total"] == 3


def test_forked_child_of_a_worker_is_not_counted(tmp_path):
    child = f"if not os.fork(): {count(100)}; metric_files.repair_files(); os._exit(0)"

    (found,) = workers((tmp_path, "1-0", [count(5), child, "os.wait()", count(1), "show()"]))

    assert found[COUNTED] == 6


def entry(key: bytes, value: float = 1.0, length: int | None = None) -> bytes:
    padding = b" " * (8 - (len(key) + 4) % 8)
    return struct.pack("i", len(key) if length is None else length) + key + padding + struct.pack("dd", value, 0)


def content(*entries: bytes, size: int | None = None) -> bytes:
    data = b"".join(entries)
    return struct.pack("ii", 8 + len(data) if size is None else size, 0) + data


GOOD = entry(KEY.encode())
DAMAGE = {
    "empty": b"",
    "three bytes": b"abc",
    "zeros": b"\0" * 4096,
    "random": b"\x8f" + bytes(range(1, 256)) * 200,
    "text": b"<html>" * 100,
    "truncated": content(GOOD)[:-9],
    "huge size": content(GOOD, size=2**31 - 1),
    "negative size": content(GOOD, size=-8),
    "size in an entry": content(GOOD, GOOD, size=8 + len(GOOD) + 5),
    "huge length": content(entry(KEY.encode(), length=2**31 - 1)),
    "negative length": content(entry(KEY.encode(), length=-100)),
    "wrong length": content(entry(KEY.encode(), length=len(KEY) - 3)),
    "no UTF-8": content(entry(b'["a", "a_total", {}, "\xff"]')),
    "no JSON": content(entry(b"requests")),
    "deep JSON": content(entry(b"[" * 40_000)),
    "a list that is too short": content(entry(b'["a"]')),
    "labels as a list": content(entry(b'["a", "a_total", ["b"], "text"]')),
    "labels that are numbers": content(entry(b'["a", "a_total", {"b": 1}, "text"]')),
    "a label's name": content(entry(b'["a", "a_total", {"b c": "1"}, "text"]')),
    "a metric's name": content(entry(b'["a\\nb", "a\\nb", {}, "text"]')),
    "a lone surrogate": content(entry(b'["a", "a_total", {"b": "\\ud800"}, "text"]')),
    "no number": content(entry(KEY.encode(), float("nan"))),
    "endless": content(entry(KEY.encode(), float("inf"))),
}


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "pipe": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "sparse and huge": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


def test_valid_file_is_read(tmp_path):
    """Prove that the damaged files below are rejected for their damage only."""
    (tmp_path / "counter_1-9.db").write_bytes(content(GOOD))

    (found,) = workers((tmp_path, "1-0", ["show()"]))

    assert found["requests_total"] == 1


def folders(tmp_path: Path) -> dict[str, Path]:
    """Create a folder for each kind of damage."""
    created = {name: tmp_path / str(number) for number, name in enumerate([*DAMAGE, *ODD_FILES])}
    for folder in created.values():
        folder.mkdir()
    return created


def test_damaged_file_is_left_out_and_replaced_by_the_next_worker(tmp_path):
    """Damage the files of this worker, of a former worker, and files with unknown names."""
    jobs: list[Job] = []
    places = folders(tmp_path)
    for name, folder in places.items():
        files = ("counter_1-0.db", "counter_1-9.db", "histogram_1-0.db", "counter_.db", "gauge.db", "other_1-0.db")
        for path in (folder / file for file in files):
            if name in DAMAGE:
                path.write_bytes(DAMAGE[name])
            else:
                ODD_FILES[name](path)
        jobs += [(folder, "1-0", [count(3), "show()"]), (folder, "1-9", [count(4), "show()"])]

    counts = [values.get(COUNTED) for values in workers(*jobs)]

    assert dict(zip(places, zip(counts[::2], counts[1::2], strict=True), strict=True)) == dict.fromkeys(places, (3, 7))


def test_worker_repairs_its_file_when_it_is_damaged(tmp_path):
    """Values counted after the damage are kept too, and the file grows."""
    places = folders(tmp_path)
    more = [count(1, f"{number}" * 50) for number in range(200)]
    jobs: list[Job] = []
    for name, folder in places.items():
        file = "(folder / 'counter_1-0.db')"
        if name in DAMAGE:
            damage = f"{file}.write_bytes({DAMAGE[name]!r})"
        else:
            ODD_FILES[name](folder / "odd")
            damage = f"{file}.unlink(); (folder / 'odd').rename({file})"
        jobs.append(
            (folder, "1-0", [count(3), damage, *more, count(1), "show()", "metric_files.repair_files()", "show()"])
        )

    outputs = workers(*jobs)

    assert dict(zip(places, (values.get(COUNTED) for values in outputs), strict=True)) == dict.fromkeys(places, 4)
    assert {len([key for key in values if key.startswith("requests_total")]) for values in outputs} == {201}


def test_missing_folder_is_created(tmp_path):
    folder = tmp_path / "run" / "metrics"

    (found,) = workers((folder, "1-0", [count(3), "show()"]))

    assert found[COUNTED] == 3
    assert folder.stat().st_mode & 0o777 == 0o700


def test_removed_folder_is_created_again(tmp_path):
    folder = tmp_path / "metrics"
    lines = [count(3), "import shutil; shutil.rmtree(folder)", count(1), "metric_files.repair_files()", "show()"]

    outputs = workers((folder, "1-0", lines), (folder, "1-1", [count(1), "show()"]))

    assert [values[COUNTED] for values in outputs] == [4, 5]


def test_worker_counts_in_memory_until_the_folder_can_be_created(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "metrics"
    lines = [count(3), "show()", "folder.parent.unlink(); metric_files.repair_files()", "show()"]

    before, after = workers((folder, "1-0", lines[:2]), (folder, "1-0", lines))

    assert before == {}
    assert after[COUNTED] == 3
