"""Metric values of this process, and the files from which /metrics adds up those of all workers.

The file format is prometheus_client's, but its writer maps files into memory. The kernel kills a process that writes to
a mapped file on a full disk, or to a truncated one (SIGBUS). Here memory holds the values, and pwrite() updates a copy
in a file. If that fails, the process keeps counting in memory, and `repair` writes the copy again as soon as possible.
Nothing here raises an OSError.
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
    """All values of one kind; `_content` is the intended content of the file."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._content = bytearray(FIRST)
        self._positions: dict[str, int] = {}
        self._descriptor = -1
        self._is_loaded = False
        self.error: OSError | None = None
        self._set_size()

    def add(self, key: str) -> int:
        """Return the position of a key's value; a new key gets the value 0."""
        if key in self._positions:
            return self._positions[key]
        encoded = key.encode()
        start = len(self._content)
        self._content += SIZE.pack(len(encoded)) + encoded + b" " * (8 - (len(encoded) + 4) % 8) + NUMBERS.pack(0, 0)
        self._set_size()
        position = self._positions[key] = len(self._content) - NUMBERS.size
        self._copy(start, len(self._content))
        self._copy(0, SIZE.size)  # after the entry: readers never see a partial one
        return position

    def get(self, position: int) -> float:
        (value,) = _NUMBER.unpack_from(self._content, position)
        return float(value)

    def set(self, position: int, value: float) -> None:
        _NUMBER.pack_into(self._content, position, value)
        self._copy(position, position + _NUMBER.size)

    def repair(self, path: Path) -> None:
        """Write the file again if it differs from the values. The first call adds the counters found in it."""
        try:
            if not self._is_file_current(path):
                self.close()
                self._load(path)
                self._write(path)
            self.error = None
        except OSError as error:
            self._abandon_file(error)

    def reset(self) -> None:
        """Reset all values and forget the file after a fork: they belong to the parent."""
        self.close()
        self._is_loaded = False
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
            self._abandon_file(error)

    def _abandon_file(self, error: OSError) -> None:
        self.error = error
        self.close()

    def _is_file_current(self, path: Path) -> bool:
        if self._descriptor < 0:
            return False
        try:
            is_same_file = os.path.samestat(os.fstat(self._descriptor), path.lstat())
        except FileNotFoundError:
            return False
        return is_same_file and os.pread(self._descriptor, len(self._content) + 1, 0) == self._content

    def _load(self, path: Path) -> None:
        if self._is_loaded:
            return
        if not self.kind.startswith("gauge"):
            with contextlib.suppress(DamagedFile, FileNotFoundError, PermissionError):
                for key, value in read_file(path).items():
                    position = self.add(key)
                    self.set(position, self.get(position) + value)
        self._is_loaded = True

    def _write(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new_path = path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(new_path, flags, 0o600)
        try:
            _write_all(self._descriptor, self._content, 0)
            if path.is_dir():
                path.rmdir()
            new_path.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                new_path.unlink()
            raise


def _write_all(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    if written < len(data):  # the disk is full: the second write raises the error
        os.pwrite(descriptor, data[written:], offset + written)


class Value:
    """The value of one series; replaces prometheus_client's own class."""

    _multiprocess = False  # prometheus_client restricts nothing then

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
            raise ValueError(f"Values of kind {kind} cannot be combined.")
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
        """Ignore exemplars: the files cannot hold them."""

    def get_exemplar(self) -> None:
        return None


_lock = threading.RLock()  # reentrant: a signal handler's log call may interrupt another one
_kinds: dict[str, _ValueFile] = {}
_place: tuple[Path, str] | None = None
_is_failure_logged = False


def share_values(path: str, place: str) -> None:
    """Share values with all workers in the folder `path`; continue the counters of the last worker in this place."""
    global _place
    _place = (Path(path), place)
    repair_files()


def folder() -> Path | None:
    """Return the folder that all workers share; None for a process that shares no values."""
    return _place[0] if _place else None


def repair_files() -> None:
    """Write files that failed, disappeared or were damaged; log when this starts to fail and when it works again."""
    global _is_failure_logged
    if _place is None:
        return
    shared_folder, place = _place
    with _lock:
        for values_ in _kinds.values():
            values_.repair(shared_folder / f"{values_.kind}_{place}.db")
        error = next((values_.error for values_ in _kinds.values() if values_.error), None)
        has_changed = bool(error) != _is_failure_logged
        _is_failure_logged = bool(error)
    if has_changed and error:
        extra = {"event": "metrics_unwritable", "reason": f"{type(error).__name__}: {error}"}
        logger.error("Metrics cannot be written; this worker counts in memory", extra=extra)
    elif has_changed:
        logger.info("Metrics are written again", extra={"event": "metrics_recovered"})


def _reset_after_fork() -> None:
    global _lock, _place
    _lock, _place = threading.RLock(), None
    for values_ in _kinds.values():
        values_.reset()


os.register_at_fork(after_in_child=_reset_after_fork)
values.ValueClass = Value
