"""Read the files of `metric_files` and add them up. Damaged files are left out."""

import json
import logging
import os
import re
import stat
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics_core import Metric

from backend.logging_config import API

MAX_BYTES = 64 * 1024 * 1024  # of a file; a larger one is damaged
# {kind, the prefix of a file's name: function that combines the values of several workers}.
COMBINED: dict[str, Callable[[Iterable[float]], float]] = {
    "counter": sum,
    "histogram": sum,
    "gauge_livesum": sum,
    "gauge_livemax": max,
}
SIZE = struct.Struct("i")  # of the file, at its beginning; of a key, before it
NUMBERS = struct.Struct("dd")  # a value, and prometheus_client's timestamp, which is not used here
FIRST = 8  # where the first entry begins
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

logger = logging.getLogger(API)
_logged_as_damaged: set[str] = set()


class DamagedFile(ValueError):
    """The file is not as a worker writes it."""


class Sample(NamedTuple):
    """The series that the key of an entry names."""

    metric: str
    name: str
    labels: tuple[tuple[str, str], ...]


def read_all_workers(folder: Path) -> Iterator[Metric]:
    """Yield the combined metrics of all workers. Log each damaged file once and leave it out."""
    values: defaultdict[tuple[str, str], defaultdict[Sample, list[float]]] = defaultdict(lambda: defaultdict(list))
    texts: dict[str, str] = {}
    damaged = set()
    for path in _files(folder):
        try:
            entries = read_file(path)
        except FileNotFoundError:
            continue  # its worker has just ended
        except (OSError, DamagedFile):
            damaged.add(path.name)
            continue
        kind = path.name.rpartition("_")[0]
        for key, value in entries.items():
            sample, text = _parse(key)
            texts[sample.metric] = text
            values[kind, sample.metric][sample].append(value)
    for name in sorted(damaged - _logged_as_damaged):
        logger.error("Metrics file left out", extra={"event": "metrics_file_damaged", "file": name})
    _logged_as_damaged.clear()
    _logged_as_damaged.update(damaged)
    for (kind, name), samples in values.items():
        totals = {sample: float(COMBINED[kind](numbers)) for sample, numbers in samples.items()}
        metric = Metric(name, texts[name], kind.partition("_")[0])
        for sample, total in _cumulative(totals) if kind == "histogram" else totals.items():
            metric.add_sample(sample.name, dict(sample.labels), total)
        yield metric


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [folder / name for name in names if name.endswith(".db") and name.rpartition("_")[0] in COMBINED]


def _cumulative(totals: dict[Sample, float]) -> Iterator[tuple[Sample, float]]:
    """Yield a histogram in Prometheus' form: each bucket includes the smaller ones, and the last one is the count."""
    buckets: defaultdict[Sample, dict[float, Sample]] = defaultdict(dict)
    for sample, total in totals.items():
        limit = dict(sample.labels).get("le")
        if limit is None:
            yield sample, total
        else:
            rest = tuple(label for label in sample.labels if label[0] != "le")
            buckets[sample._replace(name=f"{sample.metric}_count", labels=rest)][float(limit)] = sample
    for count, limits in buckets.items():
        cumulative = 0.0
        for _, sample in sorted(limits.items()):
            cumulative += totals[sample]
            yield sample, cumulative
        yield count, cumulative


def read_file(path: Path) -> dict[str, float]:
    """Return {key: value} of a file; raise DamagedFile unless every byte is as a worker writes it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # O_NONBLOCK: a named pipe must not block
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise DamagedFile
        data = os.pread(descriptor, status.st_size, 0)
    finally:
        os.close(descriptor)
    try:
        return dict(_entries(data))
    except (struct.error, UnicodeDecodeError):
        raise DamagedFile from None


def _entries(data: bytes) -> Iterator[tuple[str, float]]:
    (size,) = SIZE.unpack_from(data)
    if not FIRST <= size <= len(data):
        raise DamagedFile
    position = FIRST
    while position < size:
        (length,) = SIZE.unpack_from(data, position)
        start = position + SIZE.size
        position = start + length + 8 - (length + 4) % 8
        if length < 0 or position + NUMBERS.size > size:
            raise DamagedFile
        key = data[start : start + length].decode()
        value, _ = NUMBERS.unpack_from(data, position)
        if not isfinite(value):
            raise DamagedFile
        _parse(key)
        position += NUMBERS.size
        yield key, value
    if position != size:
        raise DamagedFile


@lru_cache(maxsize=20_000)
def _parse(key: str) -> tuple[Sample, str]:
    """Return the sample of a key and the help text of its metric."""
    try:
        metric, name, labels, text = json.loads(key)
        is_valid = name.startswith(metric) and all(map(_NAME.fullmatch, (metric, name, *labels)))
        float(labels.get("le", 0))
        "".join([text, *labels.values()]).encode()  # no lone surrogates
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise DamagedFile from None
    if not is_valid:
        raise DamagedFile
    return Sample(metric, name, tuple(sorted(labels.items()))), text
