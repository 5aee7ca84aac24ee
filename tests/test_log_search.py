"""Pages of a log search contain each record once and in the order of time, whatever state the files have."""

import gzip
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from backend.logs import reader, segments
from backend.logs.search import FILES, LogQuery, search

START = datetime(2026, 5, 31, 12, tzinfo=UTC)


def stamp(seconds: float) -> str:
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}Z"


def line(seconds: float, number: int, **values) -> bytes:
    record = {"timestamp": stamp(seconds), "level": "INFO", "logger": "api", "message": str(number), **values}
    return orjson.dumps(record | {"filling": "x" * 300})


def write(path: Path, lines: list[bytes], *, until: float) -> None:
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    moment = (START + timedelta(seconds=until)).timestamp()
    os.utime(path, (moment, moment))


@pytest.fixture
def folder(tmp_path, settings, monkeypatch) -> Path:
    settings.LOGS_DIR = tmp_path
    monkeypatch.setattr(segments, "BLOCK", 2_000)  # six lines
    return tmp_path


@pytest.fixture
def written(folder) -> list[bytes]:
    """Write files like four processes that wait for each other up to five seconds; return the lines, newest first."""
    chance = random.Random(2)
    lines = []
    for name in FILES:
        # One in three lines has the same timestamp as another line.
        times = sorted(chance.choice([round(chance.uniform(0, 300)), chance.uniform(0, 300)]) for _ in range(150))
        order = sorted(times, key=lambda moment: moment + chance.uniform(0, 5))
        file_lines = [line(moment, number, file=name) for number, moment in enumerate(order)]
        for first, last, suffix in (
            (0, 40, ".log.3.gz"),
            (40, 70, ".log.2.gz"),
            (70, 110, ".log.1"),
            (110, 150, ".log"),
        ):
            write(folder / f"{name}{suffix}", file_lines[first:last], until=order[last - 1] + 5)
        lines += file_lines
    return sorted(lines, key=lambda one: orjson.loads(one)["timestamp"], reverse=True)


def pages(names, query: LogQuery, *, limit: int, seconds: float):
    cursor = ""
    for _ in range(3_000):
        page = search(names, query, cursor=cursor, limit=limit, seconds=seconds)
        yield [entry.line for entry in page.entries]
        if not page.older:
            return
        assert page.older != cursor, "a page that leads nowhere"
        cursor = page.older
    raise AssertionError("it has no end")


@pytest.mark.parametrize("seconds", [0, 0.002, 60])
@pytest.mark.parametrize("limit", [3, 50])
def test_older_page_continues_after_the_last_record(written, limit, seconds):
    lines_of_pages = [one for page in pages(FILES, LogQuery(), limit=limit, seconds=seconds) for one in page]

    assert len(lines_of_pages) == len(written)
    assert set(lines_of_pages) == set(written)
    times = [orjson.loads(one)["timestamp"] for one in lines_of_pages]
    assert times == sorted(times, reverse=True)


def test_records_with_equal_timestamps_are_each_on_one_page(folder):
    same = [line(10, number) for number in range(150)]
    write(folder / "info.log", [line(0, 1_000), *same, line(20, 2_000)], until=20)

    lines_of_pages = [one for page in pages(["info"], LogQuery(), limit=7, seconds=0) for one in page]

    assert sorted(lines_of_pages) == sorted([line(0, 1_000), *same, line(20, 2_000)])


def test_search_without_matches_reads_page_by_page_to_the_end(written):
    all_pages = list(pages(FILES, LogQuery(text="is in no line"), limit=50, seconds=0))

    assert len(all_pages) > 10
    assert not any(all_pages)


def test_after_and_before_limit_the_pages_and_the_reading(written):
    query = LogQuery(after=stamp(100), before=stamp(120))

    lines_of_pages = [one for page in pages(FILES, query, limit=7, seconds=0) for one in page]

    assert sorted(lines_of_pages) == sorted(
        one for one in written if stamp(100) <= orjson.loads(one)["timestamp"] <= stamp(120)
    )


def test_rotation_during_a_search_neither_hides_nor_repeats_records(folder):
    write(folder / "info.log.1", [line(number, number) for number in range(100)], until=100)
    write(folder / "info.log", [line(number, number) for number in range(100, 200)], until=200)
    entries = iter(reader.ReverseLogReader(folder / "info.log"))
    lines_of_pages = [next(entries)]

    (folder / "info.log.1").rename(folder / "info.log.2")
    (folder / "info.log").rename(folder / "info.log.1")
    write(folder / "info.log", [line(300, 300)], until=300)
    lines_of_pages += entries

    assert [int(entry.values["message"]) for entry in lines_of_pages] == list(range(199, -1, -1))


def test_truncated_compressed_file_is_read_to_its_end(folder):
    packed = gzip.compress(b"\n".join(line(number, number) for number in range(2_000)), compresslevel=0)
    (folder / "info.log.1.gz").write_bytes(packed[: len(packed) // 2])

    (entries,) = [search(["info"], LogQuery(), limit=5_000, seconds=60).entries]

    assert 900 < len(entries) < 1_100


def test_file_that_is_being_compressed_is_read_once(folder):
    lines = [line(number, number) for number in range(10)]
    write(folder / "info.log.2", lines, until=10)
    write(folder / "info.log.2.gz", lines[:4], until=20)

    assert len(search(["info"], LogQuery(), limit=50, seconds=60).entries) == 10


def test_search_skips_lines_of_other_programs(folder):
    odd = [{"request": "x"}, {"request": [1]}, {"level": 7}, {"exception": "no"}, {"user_id": [5]}, {"event": {}}]
    write(folder / "info.log", [line(number, number, **values) for number, values in enumerate(odd)], until=10)
    query = LogQuery(level="INFO", logger="api", user=5, request_id="abcdefgh", event="x", exception="y", text="x")

    assert search(["info"], query, limit=50, seconds=60).entries == []
    assert len(search(["info"], LogQuery(level="DEBUG"), limit=50, seconds=60).entries) == 6
