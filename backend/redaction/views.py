"""Decoded views of a text. Each character of a view knows its offset in the original.

A masked span becomes one MARK, so later views and forms cannot see its contents.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

MARK = "\ue000"
MAX_DEPTH = 4  # of encodings inside encodings; %25 and doubled backslashes count as one more each

_ENCODED = re.compile(
    r"(?P<bytes>(?:%[0-9a-fA-F]{2})++|(?<!\\)(?:\\++x[0-9a-fA-F]{2})++)"
    r"|(?<!\\)\\++(?:u(?P<code>[0-9a-fA-F]{4})|(?P<letter>[nrt/]))"
    r"|&(?:\#(?P<decimal>0{0,4}\d{2,3})|\#[xX](?P<hex>0{0,4}[0-9a-fA-F]{2})|(?P<entity>quot|apos|lt|gt|amp));"
)
_BYTE = re.compile(r"(?:%|(?<!\\)\\++x)([0-9a-fA-F]{2})")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "/": "/"}
_ENTITIES = {"quot": '"', "apos": "'", "lt": "<", "gt": ">", "amp": "&"}
# Characters of names, which never end a value. They are decoded at once, so that an encoded name before a plain `=` is
# recognized while `%26` in its value is still no `&`.
_OF_NAMES = re.compile(r"[\w.\[\]-]")

# Characters that look like ASCII characters, and invisible characters.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef"
)
LOOKALIKE = re.compile(
    f"[{INVISIBLE}\u00aa\u00ab\u00b2\u00b3\u00b9\u00ba\u00bb\u017f\u02b0-\u02b8\u1d2c-\u1d6a\u2018-\u201f\u2039\u203a"
    "\u2070-\u209c\u2100-\u2138\u2145-\u2149\u2160-\u217f\u24b6-\u24e9\ufe50-\ufe6b\uff01-\uff5e"
    "\U0001d400-\U0001d7ff\U0001f130-\U0001f149]"
)
_QUOTES = {**dict.fromkeys("\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033", '"')} | dict.fromkeys(
    "\u2018\u2019\u201a\u201b\u2039\u203a", "'"
)


@lru_cache(maxsize=1024)
def folded(char: str) -> str:
    """Return the ASCII character that this one looks like, or "" if it is invisible."""
    plain = _QUOTES.get(char) or unicodedata.normalize("NFKC", char)
    if len(plain) == 1 and plain.isascii():
        return plain
    return "" if unicodedata.category(char) in {"Cf", "Mn", "Lo", "Cn"} else char


class View:
    """A text with the original offsets of its characters and its end. None means that they are the same."""

    def __init__(self, text: str, origins: list[int] | None = None) -> None:
        self.text = text
        self.origins = origins

    def origin(self, at: int) -> int:
        return self.origins[at] if self.origins is not None else at

    def named(self) -> "View":
        """Return this view with lookalikes and encoded letters replaced, so that all names are recognized."""
        view = self
        if not view.text.isascii():
            view = view._replaced(LOOKALIKE, lambda match: [(folded(match[0]), 1)])
        if not view._may_be_encoded():
            return view
        return view._replaced(_ENCODED, lambda match: [_decoded_if_in_name(*part) for part in _decoded(match)])

    def decoded(self) -> "View":
        """Return this view with one layer of encoding decoded, or itself if there is none."""
        if not self._may_be_encoded():
            return self
        return self._replaced(_ENCODED, lambda match: [(char, len(raw)) for char, raw in _decoded(match)])

    def _may_be_encoded(self) -> bool:
        return "%" in self.text or "\\" in self.text or "&" in self.text

    def masked(self, spans: list[tuple[int, int]]) -> "View":
        """Return this view with a MARK for each span. Spans are in order and do not overlap."""
        builder = _ViewBuilder(self)
        for start, end in spans:
            builder.replace(start, end, MARK)
        return builder.view()

    def _replaced(self, pattern: re.Pattern[str], parts: Callable[[re.Match[str]], list[tuple[str, int]]]) -> "View":
        builder = _ViewBuilder(self)
        for match in pattern.finditer(self.text):
            at = match.start()
            for char, length in parts(match):
                builder.replace(at, at + length, char)
                at += length
        return builder.view() if builder.is_changed else self


class _ViewBuilder:
    """Copies a view, and replaces some of its spans."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._pieces: list[str] = []
        self._origins: list[int] = []
        self._copied = 0
        self.is_changed = False

    def replace(self, start: int, end: int, text: str) -> None:
        if self._view.text[start:end] == text:
            return
        self.is_changed = True
        self._copy(start)
        self._pieces.append(text)
        self._origins.extend([self._view.origin(start)] * len(text))
        self._copied = end

    def _copy(self, end: int) -> None:
        start, origins = self._copied, self._view.origins
        self._pieces.append(self._view.text[start:end])
        self._origins.extend(origins[start:end] if origins is not None else range(start, end))

    def view(self) -> View:
        end = len(self._view.text)
        self._copy(end)
        return View("".join(self._pieces), [*self._origins, self._view.origin(end)])


def _decoded(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    """Yield (character, its encoded form) for each character."""
    raw = match[0]
    if match["bytes"]:
        written = list(_BYTE.finditer(raw))
        at = 0
        for char in bytes.fromhex("".join(byte[1] for byte in written)).decode("utf-8", "surrogateescape"):
            is_byte = "\udc80" <= char <= "\udcff"  # not valid UTF-8
            used = written[at : at + (1 if is_byte else len(char.encode()))]
            yield chr(ord(char) - 0xDC00) if is_byte else char, raw[used[0].start() : used[-1].end()]
            at += len(used)
    elif code := match["code"] or match["hex"]:
        yield chr(int(code, 16)), raw
    elif decimal := match["decimal"]:
        yield chr(int(decimal)), raw
    elif letter := match["letter"]:
        yield _LETTERS[letter], raw
    else:
        yield _ENTITIES[match["entity"]], raw


def _decoded_if_in_name(char: str, raw: str) -> tuple[str, int]:
    plain = folded(char) if LOOKALIKE.match(char) else char
    return (plain if not plain or _OF_NAMES.match(plain) else raw), len(raw)
