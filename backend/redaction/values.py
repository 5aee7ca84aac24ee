"""Finds the end of the value of a (name, value) pair in a text.

A value that is not closed ends with the text, so a cut never leaves half a secret. Each scan stops at the end of its
value, so all scans of a text together are linear.
"""

import re
from typing import NamedTuple

# A quotation mark: plain, escaped by the strings around it, as an HTML entity or as a code point.
QUOTE = r"""(?:(?<!\\)\\*+["'`]|(?<!\\)\\++(?:u00|x)2[27]|&(?:quot|apos|\#0{0,4}(?:34|39)|\#[xX]0{0,4}(?:22|27));)"""

_OPENING_QUOTE = re.compile(rf"[bBrRuUfF]{{0,2}}+(?P<quote>{QUOTE})")
_NEXT_STRING = re.compile(rf"\s{{1,200}}+[bBrRuUfF]{{0,2}}+(?P<quote>{QUOTE})")
_CALL = re.compile(r"[A-Za-z_][\w.]{0,100}+(?=[\[({])|<(?=[A-Za-z_])|(?=[\[({])")
_BRACKET = re.compile(rf"(?P<quote>{QUOTE})|(?P<open>[\[({{]|<(?=[A-Za-z_]))|(?P<close>[\])}}]|(?<![-=])>)")
_BARE = re.compile(
    r"""
    (?:(?:bearer|basic|token|digest|negotiate|apikey)[ \t]{1,3}+)?
    (?:
        [^\s,;&|"'`<>()\[\]{}]
      | [,;&|] (?! [\s,;&|"'`<>()\[\]{}] | \Z | [\w.\[\]-]{1,60}+ ["']? [=:] )  # not a separator of two pairs
      | ["'`] (?= \w ) (?<= \w. )
      | [()\[\]{}>] (?= \w )
      | < (?! [/!A-Za-z] )
    )++
    """,
    re.IGNORECASE | re.VERBOSE,
)
# An annotated assignment in a traceback's line of code
_ANNOTATED = re.compile(
    r"(?:\[[\w\[\], .|]{0,80}\])?(?:\s?\|\s?\w{1,40}){0,3}[ \t]{1,3}=[ \t]{1,3}"
)  # password: str = "..."
_LINE = re.compile(r"[^\r\n]*+")
_BLOCK_LINE = re.compile(r"(?P<indent>[ \t]*+)(?P<text>[^\r\n]*+)(?:\r?\n|\r|\Z)")
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:[._]\d{1,18}){0,3}")
_CONSTANTS = frozenset({"none", "null", "nil", "undefined", "true", "false"})


class Value(NamedTuple):
    """The span to mask, and the offset where scanning continues."""

    start: int
    end: int
    next: int
    is_bare: bool

    def is_number(self, text: str) -> bool:
        return self.is_bare and _NUMBER.fullmatch(self._of(text)) is not None

    def is_constant(self, text: str) -> bool:
        return self.is_bare and self._of(text).lower() in _CONSTANTS

    def _of(self, text: str) -> str:
        return text[self.start : min(self.end, self.start + 100)].rstrip(".:!?")


def value_at(text: str, at: int) -> Value | None:
    """Return the value that starts at `at`: quoted, in brackets, a call, or a bare word."""
    value = _plain_value(text, at)
    while value is not None and (annotated := _ANNOTATED.match(text, value.next)):
        more = _plain_value(text, annotated.end())
        if more is None:
            break
        value = Value(at, more.next, more.next, is_bare=False)
    return value


def _plain_value(text: str, at: int) -> Value | None:
    if opening := _OPENING_QUOTE.match(text, at):
        return _quoted(text, opening)
    if call := _CALL.match(text, at):
        end = _bracket_end(text, call.end() if text[at] != "<" else at)
        tail = _BARE.match(text, end) if call.end() > at else None
        end = tail.end() if tail else end
        return Value(at, end, end, is_bare=False)
    bare = _BARE.match(text, at)
    if bare is None:
        return None
    end = at + len(bare[0].rstrip("\\"))  # trailing backslashes escape the quote of an enclosing string
    return Value(at, end, bare.end(), is_bare=True) if end > at else None


def line_at(text: str, at: int) -> Value:
    """Return the rest of the line, which is the value of a header."""
    end = _LINE.match(text, at).end()  # type: ignore[union-attr]  # the pattern also matches the empty string
    return Value(at, end, end, is_bare=False)


def block_at(text: str, at: int, indent: int) -> Value | None:
    """Return the lines from `at` that are indented deeper or are list items, as in YAML."""
    end = at
    while (line := _BLOCK_LINE.match(text, end)) and end < len(text):
        if line["text"] and len(line["indent"]) <= indent and not line["text"].startswith("- "):
            break
        end = line.end()
    return Value(at, end, end, is_bare=False) if text[at:end].strip() else None


def is_quoted(text: str, at: int) -> bool:
    return _OPENING_QUOTE.match(text, at) is not None


def _quoted(text: str, opening: re.Match[str]) -> Value:
    """Return the text between the quotes. Adjacent strings are one value, as in Python."""
    start, quote = opening.end(), opening["quote"]
    if text.startswith(2 * quote, start):  # three of them
        closed = text.find(3 * quote, start + 2)
        end = closed if closed >= 0 else len(text)
        return Value(start + 2, end, min(end + 3, len(text)), is_bare=False)
    end, after = _quote_end(text, start, quote)
    while following := _NEXT_STRING.match(text, after):
        end, after = _quote_end(text, following.end(), following["quote"])
    return Value(start, end, after, is_bare=False)


def _quote_end(text: str, at: int, quote: str) -> tuple[int, int]:
    """Return the ends of the quoted text and of its closing quote.

    Each enclosing string doubles the backslashes before a quote. The same number closes this quote, and fewer close an
    enclosing string. A quote before a letter is an apostrophe.
    """
    if quote[-1] not in "\"'`":  # an entity or a code point
        end = text.find(quote, at)
        return (end, end + len(quote)) if end >= 0 else (len(text), len(text))
    depth, period, position = len(quote) - 1, 2 * len(quote), at
    while (position := text.find(quote[-1], position)) >= 0:
        first = position
        while first > at and text[first - 1] == "\\":
            first -= 1
        backslashes = position - first
        if backslashes < depth:
            return first, first
        if (backslashes - depth) % period == 0 and not text[position + 1 : position + 2].isalnum():
            return position - depth, position + 1
        position += 1
    return len(text), len(text)


def _bracket_end(text: str, at: int) -> int:
    """Return the offset after the bracket that closes the one at `at`."""
    depth, position = 0, at
    while match := _BRACKET.search(text, position):
        position = match.end()
        if quote := match["quote"]:
            position = _quote_end(text, position, quote)[1]
        elif match["open"]:
            depth += 1
        else:
            depth -= 1
            if depth <= 0:
                return position
    return len(text)
