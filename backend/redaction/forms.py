"""The table of forms in which texts contain secrets: as the value of a name, or with a recognizable shape."""

import re
from collections.abc import Callable, Iterator

from backend.redaction.names import is_measure, is_number_secret, is_row_key, is_secret
from backend.redaction.values import QUOTE, Value, block_at, is_quoted, line_at, value_at

Spans = Iterator[tuple[int, int]]

# A name, its closing characters, and the separator before its value.
_PAIR = re.compile(
    rf"""
    (?<![\w.-]) (?P<name>[\w.-]++)
    (?P<close>(?:\[\d{{0,4}}\]|{QUOTE}|[\])*]){{0,4}}+)
    (?:
        (?P<separator>[ \t]{{0,8}}+(?:=>|->|:=|[=!~]=|[=:|,]))
        [ \t*]{{0,8}}+(?:\+(?={QUOTE}))?(?P<newline>[|>]?[+-]?\d?\r?\n)?
      | [ \t]{{1,8}}+(?=[bBrRuU]{{0,2}}{QUOTE})
    )
    """,
    re.VERBOSE,
)
_FLAG = re.compile(r"-(?<![\w.-]-)-?+(?P<name>[A-Za-z][\w.-]*+)[ \t]++(?=[^\s-])")
# A line of code that ends with a colon
_STATEMENT = re.compile(r"(?:async )?(?:if|elif|while|for|with|class|def|except|match|case)\b")
_ESCAPED_NEWLINE = re.compile(r"[|>]?[+-]?\d?(?<!\\)\\++[nr]")
# "api key: x" is one name; its last word alone may be harmless
_COMPOUND = frozenset({"key", "keys", "code", "codes", "phrase", "word", "id"})
_WORD_BEFORE = re.compile(r"(?<![\w.-])[\w.-]{1,40}[ ]\Z")
_HEADERS = ("cookie", "cookies", "authorization")
_PLACE = re.compile(r"\d{1,6}(?!\w)")  # of sessions.py:65, auth.example.com:443
_NEXT_PAIR = re.compile(r"[\w.-]{1,100}+[\"']?[ \t]?[:=]")
_NEXT_NAME = re.compile(r"\s{0,8}[:=]")  # {"name": "password", "value": ...}
_IDENTIFIER = re.compile(rf"{QUOTE}?([A-Za-z_]{{2,40}}){QUOTE}")


def _pairs(text: str, _: str) -> Spans:
    position = 0
    while match := _PAIR.search(text, position):
        position = match.end("close") if match["separator"] is None else match.end()
        name, is_name_quoted = _name_of(text, match)
        if not is_secret(name):
            continue
        value = _value_of(text, match, name, is_name_quoted=is_name_quoted)
        if value is not None:
            yield value.start, value.end
            position = max(position, value.next)


def _name_of(text: str, match: re.Match[str]) -> tuple[str, bool]:
    """Return the name and whether it is quoted. A quoted name may have several words."""
    name, start, close = match["name"], match.start("name"), match["close"]
    quote = close[-1:] if close[-1:] not in "])*" else close.rstrip("])*")[-1:]
    if quote in {'"', "'", "`", ";", "2", "7"}:
        before = text[max(0, start - 100) : start]
        _, opening, words = before.rpartition(quote)
        is_phrase = bool(opening) and words != "" and words.replace(" ", "").replace("-", "").replace("_", "").isalnum()
        return (words + name if is_phrase else name), True
    if name.lower() in _COMPOUND and (word_before := _WORD_BEFORE.search(text[max(0, start - 42) : start])):
        phrase = word_before[0] + name
        return (phrase if is_secret(phrase.replace(" ", "")) else name), False
    return name, False


def _value_of(text: str, match: re.Match[str], name: str, *, is_name_quoted: bool) -> Value | None:
    separator, at = (match["separator"] or "").strip(), match.end()
    if separator == "," and not (is_name_quoted and is_quoted(text, at) and _is_name_of_next(text, match)):
        return None
    if match["separator"] is None and (is_name_quoted or match["close"]):
        return None
    if match["newline"]:
        if _NEXT_PAIR.match(text, at):
            return None
        line = text[text.rfind("\n", max(0, match.start() - 200), match.start()) + 1 : match.start()]
        if _STATEMENT.match(line.lstrip()):
            return None
        return block_at(text, at, len(line) - len(line.lstrip(" \t"))) or value_at(text, at)
    if _ESCAPED_NEWLINE.match(text, at):  # the decoded view finds the value
        return None
    is_place = separator == ":" and at == match.end("separator") and _PLACE.match(text, at)
    if is_place and "." in name and not is_secret(name.rpartition(".")[2]):
        return None
    value = value_at(text, at)
    if separator == "," and value is not None and _NEXT_NAME.match(text, value.next):
        return None
    if separator in {"=", ":"} and name.lower().endswith(_HEADERS) and (value is None or value.is_bare):
        value = line_at(text, at)
    return value if value is not None and _is_hidden(text, name, value, is_name_quoted=is_name_quoted) else None


def _is_hidden(text: str, name: str, value: Value, *, is_name_quoted: bool) -> bool:
    """Return whether the value is a secret. Numbers and constants follow the rules for structures."""
    if value.end - value.start <= 100 and is_row_key(name, text[value.start : value.end]):
        return False
    if is_number_secret(name) and text[value.start : value.end] not in {"None", "null"}:
        return value.end > value.start
    if value.is_constant(text) or (value.is_number(text) and (is_name_quoted or is_measure(name))):
        return False
    return value.end > value.start


def _is_name_of_next(text: str, match: re.Match[str]) -> bool:
    """Return whether the quoted name is followed by its value: ('password', 'x') or '--password', 'x'.

    Inside a longer list, the next item is a value only if it cannot be a name: ['username', 'password', 'email'].
    """
    before = text[max(0, match.start("name") - 20) : match.start("name")].rstrip("\\\"'`bBuU").rstrip()
    is_inside = before.endswith(",") and not match["name"].startswith("-")
    return not (is_inside and _IDENTIFIER.match(text, match.end()))


def _flags(text: str, _: str) -> Spans:
    position = 0
    while match := _FLAG.search(text, position):
        name, value = match["name"], value_at(text, match.end()) if is_secret(match["name"]) else None
        position = match.end()
        if value is not None and not (value.is_number(text) and is_measure(name)):
            yield value.start, value.end
            position = max(position, value.next)


# The name of a field whose value follows: <input name="password" value="x">, {"name": "password", "value": "x"}
_NAMED = re.compile(
    rf"(?i)\b(?:name|key|field|param|parameter|header|type){QUOTE}?\s{{0,3}}[=:]\s{{0,3}}"
    rf"[bu]?{QUOTE}?(?P<name>[\w.-]++){QUOTE}?"
)
_ITS_VALUE = re.compile(rf"(?i)\b(?:value|val|content){QUOTE}?\s{{0,3}}[=:]\s{{0,3}}")
_REST_OF_HEAD = re.compile(r"\r?\n(?:[\w-]{1,60}:[^\r\n]{0,200}\r?\n){0,5}\r?\n")
_END_OF_PART = re.compile(r"\r?\n--|\Z")
_BRACKETS = re.compile(r"[<>{}()]")
_NEAR = 400  # characters


def _named_values(text: str, lowered: str) -> Spans:
    if not ("val" in lowered or "content" in lowered or "form-data" in lowered):
        return
    done = 0
    for match in _NAMED.finditer(text):
        if match.start() < done or not is_secret(match["name"]):
            continue
        for value in _values_near(text, match, done):
            yield value.start, value.end
            done = max(done, value.next)


def _values_near(text: str, match: re.Match[str], done: int) -> Iterator[Value]:
    start, end = match.span()
    first = max(done, start - _NEAR)
    if "form-data" in text[first:start].lower() and (head := _REST_OF_HEAD.search(text, end, end + _NEAR)):
        next_part = _END_OF_PART.search(text, head.end())
        part_end = next_part.start() if next_part else len(text)
        yield Value(head.end(), part_end, part_end, is_bare=False)
    opened = max(text.rfind(bracket, first, start) for bracket in "<{(")
    before, after = _ITS_VALUE.search(text, max(opened, first), start), _ITS_VALUE.search(text, end, end + _NEAR)
    for place in (before, after):
        if place and not _BRACKETS.search(text, min(end, place.start()), place.start()):
            value = value_at(text, place.end())
            if value is not None and not value.is_number(text):
                yield value


# An element of XML or HTML, and the table cell after a cell with a name
_ELEMENT = re.compile(r"<(?P<name>[\w.:-]++)[^<>]{0,300}>(?:<!\[CDATA\[)?(?P<value>[^<]++)(?=</|\]\]>)")
_CELL = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]++)[\"':]{0,2}\s{0,3}+</(?:td|th|dt|key|b|strong|label|span|code|em|name)>:?\s{0,40}+"
    r"(?:<[^<>/]{0,200}>\s{0,40}+){0,3}(?P<value>[^<]++)",
)


def _elements(text: str, _: str) -> Spans:
    if "</" not in text:
        return
    for pattern in (_ELEMENT, _CELL):
        for match in pattern.finditer(text):
            if is_secret(match["name"].rpartition(":")[2]) and match["value"].strip():
                yield match.span("value")


_IN_URL = r"[^\s/?#<>\"']|[\"'](?=\w)"
_SERVICES = (
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxp-",
    "xoxs-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "aiza",
    "sg.",
    "npm_",
    "pypi-",
)
# Secrets with a recognizable shape: (triggers, pattern). The lower-case text must contain a trigger.
# The pattern's group is masked, or the whole match if it has no group.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (triggers, re.compile(pattern, re.IGNORECASE))
    for triggers, pattern in (
        (("-----begin",), r"-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)"),
        # user:password@ and key@ in URLs; and texts longer than any host, which may be cut before the @
        (("://",), rf"://((?:{_IN_URL})+)@"),
        (("://",), rf"://([^\s/@:\"']{{0,128}}+:(?!\d{{1,5}}+(?:[/?#\s]|\Z))(?:{_IN_URL}|[/?#]){{1,128}}?)@"),
        (("://",), r"://([^\s/?#<>@\"']{254,})"),
        # JWT, also if it is cut
        (("eyj",), r"eyJ[\w-]{8,}+(?:\.[\w-]*+){0,4}"),
        # Fernet tokens and keys; signatures of Django's signer; tokens of well-known services
        (("gaaaa",), r"gAAAA[\w-]{40,}+={0,2}"),
        (("=",), r"=(?<=(?<![\w+/=-])([\w-]{43}=))(?![\w=])"),
        ((":",), r":[0-9a-z]{6}:([\w-]{43})(?![\w-])"),
        (_SERVICES, rf"(?<![\w-])(?:{'|'.join(map(re.escape, _SERVICES))})[\w.-]{{16,}}"),
        (
            ("bearer",),
            r"\bbearer\s{1,3}(?!(?:tokens?|auth\w*|schemes?|headers?|credentials?|realm|is|was|of)(?![\w.~+/=-]))"
            r"([\w.~+/=:-]{4,})",
        ),
        (("basic",), r"\bbasic\s{1,3}((?-i:(?=[a-z]*+[A-Z0-9+/=]))[\w+/=-]{6,})"),
        (
            ("token ", "key ", "secret ", "password "),
            r"\b(?:token|key|secret|password)\s{1,3}((?=[a-z+/=_-]*+\d)[\w+/=-]{20,})",
        ),
        # Password hashes
        (("$",), r"\$?(?:argon2\w{0,3}|pbkdf2_\w{1,12}|scrypt|bcrypt\w{0,8}|md5|sha1)\$[\w./+=,$-]{8,}"),
        (("$",), r"\$(?:2[abxy]|5|6|y|1)\$[\w./+=,$-]{8,}"),
        # Reset links and Django's tokens in them
        (("reset/",), r"reset(?:/confirm)?/[\w-]{1,64}/([\w-]{6,})"),
        (("unsubscribe/",), r"unsubscribe/([\w:.=-]{6,})"),
        (("-",), r"-(?<=[0-9a-z]{5}-)([0-9a-f]{32})(?![0-9a-z])"),
        # Rows, values and parameters that PostgreSQL quotes
        (
            (")=(",),
            r"\([^()\n]{1,200}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,3}\)=\("
            r"([^\n]*?)(?=\) (?:already|is not|is still|conflicts)|\)?(?:\n|\Z))",
        ),
        (("failing row",), r"failing row contains ([^\n]++)"),
        (("invalid input",), r"invalid input (?:syntax|value) for [^:\n]{1,60}: ([^\n]++)"),
        (("$",), r"\$\d{1,4} = ('(?:[^']++|'')*+'?)"),
        # curl -u user:password
        (("-u", "user"), r"-(?:u|-user|-proxy-user)[ =]['\"]?(?!\d+:\d+(?!\S))[^\s:'\"]{1,64}:([^\s'\"]++)"),
    )
)


def _shapes(text: str, lowered: str) -> Spans:
    for triggers, pattern in _SHAPES:
        if any(trigger in lowered for trigger in triggers):
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(text):
                yield match.span(group)


# One function for each form in which a text can contain a secret.
FORMS: tuple[Callable[[str, str], Spans], ...] = (_pairs, _flags, _named_values, _elements, _shapes)


def spans_in(text: str) -> list[tuple[int, int]]:
    """Return the spans of secrets in `text`, in order and without overlaps."""
    lowered = text.lower()
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for form in FORMS for span in form(text, lowered)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged
