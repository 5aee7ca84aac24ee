"""The values of a process's metrics, and the files by which /metrics adds up those of all workers.

The format of the files is that of prometheus_client, but not its way to write them: it maps them into memory, and the
kernel ends a process that writes to a mapped file whose disk is full or that was truncated (SIGBUS). Here memory holds
the values, and a file is a copy that pwrite() updates. Where that fails, the process counts on in memory, and `repair`
writes the copy again as soon as it can. Nothing here raises an OSError.
"""

import contextlib
import json
import logging
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import values

from backend.logging_config import API
from backend.telemetry.metric_reader import COMBINED, FIRST, NUMBERS, SIZE, DamagedFile, read_file

_NUMBER = struct.Struct("d")

logger = logging.getLogger(API)


class _ValueFile:
    """All values of one kind: `content` is what the file should hold."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._content = bytearray(FIRST)
        self._positions: dict[str, int] = {}
        self._descriptor = -1
        self._is_continued = False
        self.error: OSError | None = None
        self._set_size()

    def add(self, key: str) -> int:
        """Return the position of a key's value, which is 0 for a new one."""
        if key in self._positions:
            return self._positions[key]
        encoded = key.encode()
        start = len(self._content)
        self._content += SIZE.pack(len(encoded)) + encoded + b" " * (8 - (len(encoded) + 4) % 8) + NUMBERS.pack(0, 0)
        self._set_size()
        position = self._positions[key] = len(self._content) - NUMBERS.size
        self._copy(start, len(self._content))
        self._copy(0, SIZE.size)  # after the entry: a reader sees a whole one or none
        return position

    def get(self, position: int) -> float:
        (value,) = _NUMBER.unpack_from(self._content, position)
        return float(value)

    def set(self, position: int, value: float) -> None:
        _NUMBER.pack_into(self._content, position, value)
        self._copy(position, position + _NUMBER.size)

    def repair(self, path: Path) -> None:
        """Make the file equal to the values, if it is not; the first time the values go on with what is in it."""
        try:
            if not self._is_copied(path):
                self.close()
                self._continue(path)
                self._write(path)
            self.error = None
        except OSError as error:
            self._lose(error)

    def begin_again(self) -> None:
        """Forget what was counted and where: that is the parent's."""
        self.close()
        self._is_continued = False
        for position in self._positions.values():
            _NUMBER.pack_into(self._content, position, 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1

    def _set_size(self) -> None:
        SIZE.pack_into(self._content, 0, len(self._content))

    def _copy(self, start: int, end: int) -> None:
        if self._descriptor < 0:
            return
        try:
            _write_all(self._descriptor, self._content[start:end], start)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.error = error
        self.close()

    def _is_copied(self, path: Path) -> bool:
        if self._descriptor < 0:
            return False
        try:
            is_there = os.path.samestat(os.fstat(self._descriptor), path.lstat())
        except FileNotFoundError:
            return False
        return is_there and os.pread(self._descriptor, len(self._content) + 1, 0) == self._content

    def _continue(self, path: Path) -> None:
        if self._is_continued:
            return
        if not self.kind.startswith("gauge"):
            with contextlib.suppress(DamagedFile, FileNotFoundError, PermissionError):
                for key, value in read_file(path).items():
                    position = self.add(key)
                    self.set(position, self.get(position) + value)
        self._is_continued = True

    def _write(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(fresh, flags, 0o600)
        try:
            _write_all(self._descriptor, self._content, 0)
            if path.is_dir():
                path.rmdir()
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise


def _write_all(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    if written < len(data):  # the disk became full in between: the next attempt says so
        os.pwrite(descriptor, data[written:], offset + written)


class Value:
    """What prometheus_client keeps the number of a series in."""

    _multiprocess = False  # for prometheus_client: nothing is restricted

    def __init__(
        self,
        kind: str,
        metric: str,
        name: str,
        labels: Sequence[str],
        label_values: Sequence[str],
        text: str,
        multiprocess_mode: str = "",
        **others: Any,
    ) -> None:
        kind = f"{kind}_{multiprocess_mode}" if multiprocess_mode else kind
        if kind not in COMBINED:
            raise ValueError(f"Nobody knows how to add up {kind}.")
        key = json.dumps([metric, name, dict(zip(labels, label_values, strict=True)), text], sort_keys=True)
        with _lock:
            self._values = _kinds.setdefault(kind, _ValueFile(kind))
            self._position = self._values.add(key)

    def inc(self, amount: float) -> None:
        with _lock:
            self._values.set(self._position, self._values.get(self._position) + amount)

    def set(self, value: float, timestamp: float | None = None) -> None:
        with _lock:
            self._values.set(self._position, value)

    def get(self) -> float:
        with _lock:
            return self._values.get(self._position)

    def set_exemplar(self, exemplar: object) -> None:
        """Keep none: files have no place for them."""

    def get_exemplar(self) -> None:
        return None


_lock = threading.RLock()  # a log call of a signal handler may interrupt another one
_kinds: dict[str, _ValueFile] = {}
_place: tuple[Path, str] | None = None
_is_failure_logged = False


def share_values(path: str, place: str) -> None:
    """Count for all workers, as the worker of this place: it goes on with the counters of the one before."""
    global _place
    _place = (Path(path), place)
    repair_files()


def folder() -> Path | None:
    """Where all workers count; None for a process that counts for itself."""
    return _place[0] if _place else None


def repair_files() -> None:
    """Write what could not be written before, or was removed or damaged; log when it fails and works again."""
    global _is_failure_logged
    if _place is None:
        return
    where, place = _place
    with _lock:
        for values_ in _kinds.values():
            values_.repair(where / f"{values_.kind}_{place}.db")
        error = next((values_.error for values_ in _kinds.values() if values_.error), None)
        is_news = bool(error) != _is_failure_logged
        _is_failure_logged = bool(error)
    if is_news and error:
        extra = {"event": "metrics_unwritable", "reason": f"{type(error).__name__}: {error}"}
        logger.error("Metrics cannot be written; this worker counts in memory", extra=extra)
    elif is_news:
        logger.info("Metrics are written again", extra={"event": "metrics_recovered"})


def _begin() -> None:
    global _lock, _place
    _lock, _place = threading.RLock(), None
    for values_ in _kinds.values():
        values_.begin_again()


os.register_at_fork(after_in_child=_begin)
values.ValueClass = Value
