"""Measure whether time grows linearly with the input length; build hostile inputs from patterns."""

import ast
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from re import _constants as op
from re import _parser
from types import ModuleType
from typing import Any

from django.core.validators import RegexValidator
from django.utils.functional import SimpleLazyObject

Make = Callable[[int], Any]

FLOOR = 0.005  # seconds of processor time; the clock and the garbage collector dominate shorter times
CAP = 0.5  # seconds allowed for an input of length `most`, even with linear growth
FACTOR = 4 * 1.8  # allowed ratio of the times for four times the input
_SHORT, _SHORT_CAP = (14, 18, 22), 0.02  # characters, seconds: exponential growth is detected early


def superlinear(call: Callable[[Any], object], make: Make, *, most: int, floor: float = FLOOR) -> str:
    """Return sizes and times of `call(make(n))` if its time grows faster than linearly up to `most`; otherwise "".

    Thread time excludes other processes. Sizes increase, so that slow functions are found with short inputs.
    """
    for size in (*_SHORT, most // 64, most // 32, most // 16, most // 8):
        cap = max(_SHORT_CAP, CAP * size / most)
        if _seconds(call, make(size)) > cap and (seconds := _best_seconds(call, make(size))) > cap:
            return f"{seconds:.3f} s for {size}"
    seconds = _seconds(call, make(most))
    # Linear calls end here. One sample of the whole against the best of two quarters is the stricter comparison.
    if seconds < floor or (seconds <= CAP and seconds <= FACTOR * _best_seconds(call, make(most // 4))):
        return ""
    seconds = _best_seconds(call, make(most))
    if seconds > CAP:
        return f"{seconds:.2f} s for {most}"
    for _ in range(2):  # a high ratio counts only if it is repeated
        quarter, half, whole = (_best_seconds(call, make(size)) for size in (most // 4, most // 2, most))
        if whole < floor or whole <= FACTOR * quarter:
            return ""
    return f"{quarter:.4f}, {half:.4f}, {whole:.4f} s for {most // 4}, {most // 2}, {most}"


def _best_seconds(call: Callable[[Any], object], value: Any) -> float:
    return min(_seconds(call, value) for _ in range(2))


def _seconds(call: Callable[[Any], object], value: Any) -> float:
    started = time.thread_time()
    try:
        call(value)
    except Exception:  # noqa: BLE001 - a rejection takes time, too
        return time.thread_time() - started
    return time.thread_time() - started


# --- Patterns of the project

# Modules that start the service or read the operator's settings.
OPERATOR_MODULES = {
    "backend.wsgi",
    "backend.environment.variables",
    "backend.environment.values",
    "backend.environment.urls",
}


def modules() -> Iterator[ModuleType]:
    for name in ("backend", "api"):
        package = importlib.import_module(name)
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{name}."):
            if ".migrations." not in info.name and info.name not in OPERATOR_MODULES:
                yield importlib.import_module(info.name)


@cache
def patterns() -> dict[str, re.Pattern[Any]]:
    """Return all patterns in modules, classes and calls of backend and api as {name: pattern}."""
    return {name: pattern for module in modules() for name, pattern in patterns_of(module).items()}


def patterns_of(module: ModuleType) -> dict[str, re.Pattern[Any]]:
    by_name: dict[str, re.Pattern[Any]] = {}
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for attribute, member in vars(value).items():
                by_name |= dict(_patterns_in(f"{name}.{attribute}", member))
            by_name |= dict(_in_validators(name, value))
        elif not inspect.isclass(value):
            by_name |= dict(_patterns_in(name, value))
    if module.__file__:
        by_name |= dict(_in_calls(Path(module.__file__).read_text()))
    return {f"{module.__name__}.{name}": pattern for name, pattern in by_name.items()}


def _patterns_in(name: str, value: Any) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, RegexValidator):
        value = value.regex
    if isinstance(value, SimpleLazyObject) and hasattr(value, "pattern"):
        value = re.compile(value.pattern, value.flags)
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _patterns_in(f"{name}[{key!r}]", inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, inner in enumerate(value):
            yield from _patterns_in(f"{name}[{number}]", inner)


def _in_validators(name: str, kind: Any) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns in field validators of a model, a form or a serializer."""
    meta = getattr(kind, "_meta", None)
    named = {field.name: field for field in getattr(meta, "fields", ())} if hasattr(meta, "get_field") else {}
    named |= getattr(kind, "base_fields", {}) | getattr(kind, "_declared_fields", {})
    for field_name, field in named.items():
        yield from _patterns_in(f"{name}.{field_name}", getattr(field, "validators", ()))


def _in_calls(source: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        is_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        if is_re and isinstance(first, ast.Constant) and node.func.attr in _METHODS:
            yield f"re.{node.func.attr}:{node.lineno}", re.compile(first.value)


_METHODS = {"search", "match", "fullmatch", "sub", "subn", "finditer", "findall", "split"}


@cache
def _uses() -> dict[str, set[str]]:
    """Return the methods that the code calls on named patterns, as {name: methods}."""
    uses: dict[str, set[str]] = {}
    for module in modules():
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _METHODS:
                uses.setdefault(f"{module.__name__}.{node.value.id}", set()).add(node.attr)
    return uses


def calls_of(name: str, pattern: re.Pattern[Any]) -> dict[str, Callable[[Any], object]]:
    """Return the calls of this pattern in the code as {method: call}; sub() if the code does not name it."""
    empty: Any = b"" if isinstance(pattern.pattern, bytes) else ""
    calls: dict[str, Callable[[Any], object]] = {
        "search": pattern.search,
        "match": pattern.match,
        "fullmatch": pattern.fullmatch,
        "sub": partial(pattern.sub, empty),
        "findall": pattern.findall,
    }
    direct = {name.rpartition(":")[0].rpartition(".")[2]} & _METHODS
    equivalents = {"sub": "sub", "subn": "sub", "finditer": "findall", "split": "findall"}
    # A pattern in a list or a validator has no name in the code; sub() searches to the end of the text.
    methods = {equivalents.get(method, method) for method in direct or _uses().get(name, set())} or {"sub"}
    return {method: calls[method] for method in methods}


# --- Hostile inputs for a pattern

_SAMPLES = {op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "a", op.CATEGORY_NOT_SPACE: "a"}


def inputs_for(pattern: re.Pattern[Any]) -> dict[str, Make]:
    """Return texts that make this pattern restart or backtrack, as {name: function of the length}."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parsed = _parser.parse(text, pattern.flags & ~re.UNICODE)
    words: dict[str, None] = dict.fromkeys(
        ['"', "'", '\\"', "[", "{", "(", " ", "\n", "a", "a ", "0", "%2e", "é", ".", "-"]
    )
    pumped: list[tuple[str, str]] = []
    sample = _walk(parsed, words, pumped, "")
    words |= dict.fromkeys([sample, sample[:-1], sample[: len(sample) // 2 + 1], f"{sample} ", sample[1:]])
    inputs: dict[str, Make] = {f"repeated {word!r}": partial(repeated, word) for word in words if word}
    for before, char in dict.fromkeys(pumped):
        inputs[f"{before!r} and {char!r}"] = partial(_pumped, before, char)
        inputs[f"repeated {before!r} {char!r}"] = partial(repeated, before + char * 8)
    if isinstance(pattern.pattern, bytes):
        return {name: partial(_as_bytes, make) for name, make in inputs.items()}
    return inputs


def repeated(word: str, size: int) -> str:
    return (word * (size // len(word) + 1))[:size]


def _pumped(before: str, char: str, size: int) -> str:
    return f"{before}{char * size}\x00"  # few patterns accept this end


def _as_bytes(make: Make, size: int) -> bytes:
    return str(make(size)).encode()


def _walk(parsed: Any, words: dict[str, None], pumped: list[tuple[str, str]], before: str) -> str:
    """Return a text that this part roughly matches. Add to `words`, and to `pumped` (prefix, repeated part)."""
    text = ""
    for kind, argument in parsed:
        if kind is op.LITERAL:
            text += chr(argument)
        elif kind is op.NOT_LITERAL:
            text += "a" if argument != ord("a") else "b"
        elif kind is op.ANY:
            text += "a"
        elif kind is op.IN:
            text += _member(argument)
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            least, most, inner = argument
            part = _walk(inner, words, pumped, before + text)
            if most > 1 and part:
                pumped.append((before + text, part))
            text += part * max(1, min(least, 40))
        elif kind is op.SUBPATTERN:
            text += _walk(argument[-1], words, pumped, before + text)
        elif kind is op.ATOMIC_GROUP:
            text += _walk(argument, words, pumped, before + text)
        elif kind is op.BRANCH:
            branches = [_walk(branch, words, pumped, before + text) for branch in argument[1]]
            words |= dict.fromkeys(branches[:40])
            text += next(filter(None, branches), "")
        elif kind in {op.ASSERT, op.ASSERT_NOT}:
            words |= {_walk(argument[1], words, pumped, before + text): None}
    words[text] = None
    return text


def _member(members: Any) -> str:
    """Return a character that the set matches."""
    if members[0][0] is op.NEGATE:
        excluded = re.compile(f"[{''.join(map(re.escape, _chars(members[1:])))}]" if _chars(members[1:]) else r"\x01")
        return next((char for char in "a0 .:-é!" if not excluded.match(char)), "~")
    return (_chars(members) or ["a"])[0]


def _chars(members: Any) -> list[str]:
    chars = []
    for kind, argument in members:
        if kind is op.LITERAL:
            chars.append(chr(argument))
        elif kind is op.RANGE:
            chars += [chr(argument[0]), chr(argument[1])]
        elif kind is op.CATEGORY:
            chars.append(_SAMPLES.get(argument, "-"))
    return chars
