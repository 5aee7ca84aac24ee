"""Whether time grows with the length of an input only linearly; and the inputs that show where it does not."""

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

FLOOR = 0.005  # seconds of processor time: below, the clock and the garbage collector weigh more than the input
CAP = 0.5  # seconds that an input of `most` may take, whatever its growth
FACTOR = 4 * 1.8  # of the time for four times the input
_SHORT, _SHORT_CAP = (14, 18, 22), 0.02  # characters, seconds: exponential growth shows before it takes long


def superlinear(call: Callable[[Any], object], make: Make, *, most: int, floor: float = FLOOR) -> str:
    """Return what is wrong with the growth of `call(make(n))` up to `most`; "" where it is linear.

    The time is that of this thread, so that a busy machine does not count. Sizes rise, so that no attempt takes long.
    """
    for size in (*_SHORT, most // 64, most // 32, most // 16, most // 8):
        cap = max(_SHORT_CAP, CAP * size / most)
        if _spent(call, make(size)) > cap and (spent := _best(call, make(size))) > cap:
            return f"{spent:.3f} s for {size}"
    spent = _spent(call, make(most))
    # One slow sample of the whole against the best of two quarters is the stricter comparison: linear calls end here.
    if spent < floor or (spent <= CAP and spent <= FACTOR * _best(call, make(most // 4))):
        return ""
    spent = _best(call, make(most))
    if spent > CAP:
        return f"{spent:.2f} s for {most}"
    for _ in range(2):  # a ratio is believed if it comes again
        quarter, half, whole = (_best(call, make(size)) for size in (most // 4, most // 2, most))
        if whole < floor or whole <= FACTOR * quarter:
            return ""
    return f"{quarter:.4f}, {half:.4f}, {whole:.4f} s for {most // 4}, {most // 2}, {most}"


def _best(call: Callable[[Any], object], given: Any) -> float:
    return min(_spent(call, given) for _ in range(2))


def _spent(call: Callable[[Any], object], given: Any) -> float:
    started = time.thread_time()
    try:
        call(given)
    except Exception:  # noqa: BLE001 - a refusal takes time as well
        return time.thread_time() - started
    return time.thread_time() - started


# --- Finding the patterns of the project

# What starts the service, and what reads the operator's own settings.
NOT_OF_STRANGERS = {
    "backend.wsgi",
    "backend.environment.variables",
    "backend.environment.values",
    "backend.environment.urls",
}


def modules() -> Iterator[ModuleType]:
    for name in ("backend", "api"):
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if ".migrations." not in found.name and found.name not in NOT_OF_STRANGERS:
                yield importlib.import_module(found.name)


@cache
def patterns() -> dict[str, re.Pattern[Any]]:
    """Return every pattern that a module, a class or a call in backend and api holds, {place: pattern}."""
    return {name: pattern for module in modules() for name, pattern in patterns_of(module).items()}


def patterns_of(module: ModuleType) -> dict[str, re.Pattern[Any]]:
    found: dict[str, re.Pattern[Any]] = {}
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for inner, held in vars(value).items():
                found |= dict(_held(f"{name}.{inner}", held))
            found |= dict(_of_fields(name, value))
        elif not inspect.isclass(value):
            found |= dict(_held(name, value))
    if module.__file__:
        found |= dict(_written_in_calls(Path(module.__file__).read_text()))
    return {f"{module.__name__}.{name}": pattern for name, pattern in found.items()}


def _held(name: str, value: Any) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, RegexValidator):
        value = value.regex
    if isinstance(value, SimpleLazyObject) and hasattr(value, "pattern"):
        value = re.compile(value.pattern, value.flags)
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _held(f"{name}[{key!r}]", inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, inner in enumerate(value):
            yield from _held(f"{name}[{number}]", inner)


def _of_fields(name: str, kind: Any) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The validators of the fields of a model, a form or a serializer."""
    meta = getattr(kind, "_meta", None)
    named = {field.name: field for field in getattr(meta, "fields", ())} if hasattr(meta, "get_field") else {}
    named |= getattr(kind, "base_fields", {}) | getattr(kind, "_declared_fields", {})
    for field_name, field in named.items():
        yield from _held(f"{name}.{field_name}", getattr(field, "validators", ()))


def _written_in_calls(source: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
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
    """Return how the code uses the patterns that have a name, {name: methods}."""
    uses: dict[str, set[str]] = {}
    for module in modules():
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _METHODS:
                uses.setdefault(f"{module.__name__}.{node.value.id}", set()).add(node.attr)
    return uses


def calls_of(name: str, pattern: re.Pattern[Any]) -> dict[str, Callable[[Any], object]]:
    """Return what the code does with this pattern: all of it, where the code does not name the pattern."""
    empty: Any = b"" if isinstance(pattern.pattern, bytes) else ""
    known: dict[str, Callable[[Any], object]] = {
        "search": pattern.search,
        "match": pattern.match,
        "fullmatch": pattern.fullmatch,
        "sub": partial(pattern.sub, empty),
        "findall": pattern.findall,
    }
    written = {name.rpartition(":")[0].rpartition(".")[2]} & _METHODS
    used = {"sub": "sub", "subn": "sub", "finditer": "findall", "split": "findall"}
    # One that is held in a list or by a validator has no name in the code; sub() searches it to the end.
    methods = {used.get(method, method) for method in written or _uses().get(name, set())} or {"sub"}
    return {method: known[method] for method in methods}


# --- Hostile inputs, from the pattern itself

_SAMPLES = {op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "a", op.CATEGORY_NOT_SPACE: "a"}


def inputs_for(pattern: re.Pattern[Any]) -> dict[str, Make]:
    """Return texts that make this pattern begin again and again, or go back, {name: function of the length}."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parsed = _parser.parse(text, pattern.flags & ~re.UNICODE)
    words: dict[str, None] = dict.fromkeys(
        ['"', "'", '\\"', "[", "{", "(", " ", "\n", "a", "a ", "0", "%2e", "é", ".", "-"]
    )
    pumped: list[tuple[str, str]] = []
    sample = _walk(parsed, words, pumped, "")
    words |= dict.fromkeys([sample, sample[:-1], sample[: len(sample) // 2 + 1], f"{sample} ", sample[1:]])
    found: dict[str, Make] = {f"{word!r} again": partial(_repeated, word) for word in words if word}
    for before, char in dict.fromkeys(pumped):
        found[f"{before!r} and {char!r}"] = partial(_pumped, before, char)
        found[f"{before!r} {char!r} again"] = partial(_repeated, before + char * 8)
    if isinstance(pattern.pattern, bytes):
        return {name: partial(_as_bytes, make) for name, make in found.items()}
    return found


def _repeated(word: str, size: int) -> str:
    return (word * (size // len(word) + 1))[:size]


def _pumped(before: str, char: str, size: int) -> str:
    return f"{before}{char * size}\x00"  # an end that few patterns accept


def _as_bytes(make: Make, size: int) -> bytes:
    return str(make(size)).encode()


def _walk(parsed: Any, words: dict[str, None], pumped: list[tuple[str, str]], before: str) -> str:
    """Return a text that this part matches, roughly; note what repeats in it, and after what."""
    text = ""
    for kind, given in parsed:
        if kind is op.LITERAL:
            text += chr(given)
        elif kind is op.NOT_LITERAL:
            text += "a" if given != ord("a") else "b"
        elif kind is op.ANY:
            text += "a"
        elif kind is op.IN:
            text += _member(given)
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            least, most, inner = given
            part = _walk(inner, words, pumped, before + text)
            if most > 1 and part:
                pumped.append((before + text, part))
            text += part * max(1, min(least, 40))
        elif kind is op.SUBPATTERN:
            text += _walk(given[-1], words, pumped, before + text)
        elif kind is op.ATOMIC_GROUP:
            text += _walk(given, words, pumped, before + text)
        elif kind is op.BRANCH:
            branches = [_walk(branch, words, pumped, before + text) for branch in given[1]]
            words |= dict.fromkeys(branches[:40])
            text += next(filter(None, branches), "")
        elif kind in {op.ASSERT, op.ASSERT_NOT}:
            words |= {_walk(given[1], words, pumped, before + text): None}
    words[text] = None
    return text


def _member(members: Any) -> str:
    """A character of a set, or one that is not in the set that it excludes."""
    if members[0][0] is op.NEGATE:
        excluded = re.compile(f"[{''.join(map(re.escape, _chars(members[1:])))}]" if _chars(members[1:]) else r"\x01")
        return next((char for char in "a0 .:-é!" if not excluded.match(char)), "~")
    return (_chars(members) or ["a"])[0]


def _chars(members: Any) -> list[str]:
    found = []
    for kind, given in members:
        if kind is op.LITERAL:
            found.append(chr(given))
        elif kind is op.RANGE:
            found += [chr(given[0]), chr(given[1])]
        elif kind is op.CATEGORY:
            found.append(_SAMPLES.get(given, "-"))
    return found
