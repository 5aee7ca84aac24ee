"""Time grows no faster than the input, for every pattern, parser and validator that sees bytes of a client or of a log.

tests/growth.py measures n, 2n and 4n. A failure names the function, the input and the three times.
"""

import io
import json
import logging
import re
import types
from datetime import UTC, datetime
from functools import partial

import orjson
import pytest
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpRequest, QueryDict
from django.test import Client
from rest_framework import serializers

from api.accounts import login, password_reset, unsubscribe
from api.accounts.serializers import LoginSerializer, ResetConfirmSerializer
from api.models import Property, Task, User
from api.operations import error_groups, log_pages
from api.properties.serializers import PropertyListParams
from api.rest import etags, fields, query_params
from api.rest.json import BoundedJSONParser
from api.tasks.serializers import TaskListParams
from api.users.login_names import normalize_login
from api.users.serializers import UserListParams
from backend import redaction, request_context
from backend.formatters import JSONFormatter, TextFormatter
from backend.http.attack_patterns import find_attack_pattern
from backend.logs import reader, search, segments
from backend.logs.reader import Entry
from tests import growth
from tests.growth import superlinear

TEXT = 10_000  # characters: as much as redaction looks at, and more than a line of a request has
HEADER = 8_192
VALUE = 8_192
BODY = 2**18

# Pieces of which hostile texts are made: repeated, opened and never closed, almost what is looked for.
PIECES = [
    *('"', "'", '\\"', "\\", '{"', '{"a":', '{"a":1,', "[", "]", "[],", "(", "<", "a", "a ", " ", "  a", "\n", "\r\n"),
    *("=", "a=", "a=b&", "a=b;", "; ", ", ", ",", ":", "://", "//", "/", "/..", "..", "./", "a.", "a-", "a@", "a@a."),
    *("%", "%25", "%2e%2e", "%u0041", "+", "\x00", "\x85", "é", "\ufdfa", "e\u0301", "\U0001f600", 'W/"1", ', '"1",'),
    *("0", "9", "1e", "1.", "-", "0-", "::", "1:", "2026-05-31T", "password", "password=", "password: '", "token=\\'"),
    *("'password': [", '{"password": {"', "Bearer ", "bearer a", "Basic ", "eyJ", "eyJabcdefgh.", "secret", "cookie: "),
    *(
        "://a:",
        "a://b:c@",
        "-----BEGIN A",
        "$argon2",
        "argon2$",
        "reset/",
        "/a/",
        "Key (a)=(",
        ")=(",
        "(a(",
        "failing row ",
    ),
    *(
        "<script",
        "< script",
        "union ",
        "union all ",
        "' or ",
        "; drop ",
        "sleep (",
        "onerror ",
        "javascript:",
        "${jndi:",
    ),
    *("text/html,", "text/html;q=0.1,", "a/b;c=d;", ';a="', "--x\r\n", "--x", "Content-Disposition: form-data; name="),
]


def texts():
    """Hostile texts of any length, as {name: function of the length}."""
    made = {repr(piece): partial(growth._repeated, piece) for piece in PIECES}
    made |= {
        f"{piece!r} opens": partial(_opened, piece) for piece in ('"', "'", '{"a": "', "password='", "[", "eyJ", "<")
    }
    return made


def _opened(piece: str, size: int) -> str:
    return piece + "a" * size


def check(calls, *, most, made=None, floor=growth.FLOOR):
    """Fail with each function whose time grows faster than its input, and the first such input."""
    made = made or texts()
    wrong = [slowest for name, call in calls.items() if (slowest := first_slow(name, call, made, most, floor))]
    assert wrong == []


def first_slow(name, call, made, most, floor=growth.FLOOR) -> str:
    for text, make in made.items():
        if problem := superlinear(call, make, most=most, floor=floor):
            return f"{name}({text}): {problem}"
    return ""


def test_every_pattern_takes_linear_time():
    wrong = [
        slow
        for name, pattern in growth.patterns().items()
        for method, call in growth.calls_of(name, pattern).items()
        if (slow := first_slow(f"{name}.{method}", call, growth.inputs_for(pattern), TEXT))
    ]
    assert wrong == []


def test_the_patterns_of_the_project_are_found():
    found = growth.patterns()

    assert set(found) >= {
        "backend.http.attack_patterns._ANY",
        "backend.redaction.forms._PAIR",
        "backend.request_context._TRACEPARENT",
        "api.rest.json._TOKEN",
        "api.rest.etags._ETAG",
        "api.users.models.validate_username",
        "api.operations.error_groups._FRAME",
    }
    assert any(name.startswith("api.rest.query_params.re.fullmatch:") for name in found)
    assert any(name.startswith("api.operations.log_pages.") for name in found)
    assert len(found) > 30


PLANTED = {
    "two repeats of the same": (r"\d+\d+x", "search"),
    "a quote that never closes": (r'"(?:[^"\\]|\\.)*+"', "findall"),
    "bounded, and long all the same": (r"<[^>]{0,4000}>", "search"),
    "exponential": (r"(?:a+)+$", "fullmatch"),
    "blanks before an end": (r"\s+$", "search"),
    "a prefix that almost matches": (r"(?:key=\w*)*;", "search"),
    "a bounded prefix": (r"[\w.]{1,4000}@", "sub"),
}


@pytest.mark.parametrize(("written", "method"), PLANTED.values(), ids=PLANTED)
def test_a_pattern_that_takes_longer_is_found_wherever_it_stands(written, method):
    pattern = re.compile(written)
    module = types.ModuleType("planted")
    module.__file__ = ""
    module.ALONE, module.MANY = pattern, {"a": [(pattern, "x")]}
    holder = type("Holder", (), {"inner": pattern, "__module__": "planted"})
    module.Holder = holder

    found = growth.patterns_of(module)

    assert set(found) == {"planted.ALONE", "planted.MANY['a'][0][0]", "planted.Holder.inner"}
    call = {"search": pattern.search, "fullmatch": pattern.fullmatch, "findall": pattern.findall}.get(
        method, partial(pattern.sub, "")
    )
    assert any(superlinear(call, make, most=TEXT) for make in growth.inputs_for(pattern).values())


@pytest.mark.parametrize("power", [1, 1.1])
def test_what_is_linear_is_not_found(power):
    assert (
        superlinear(
            lambda text: [hash(text[:9]) for _ in range(int(len(text) ** power))],
            partial(growth._repeated, "a"),
            most=60_000,
        )
        == ""
    )


def parse(text: str) -> object:
    return BoundedJSONParser().parse(io.BytesIO(text.encode("utf-8", "surrogatepass")))


def test_json_bodies_take_linear_time():
    made = {repr(piece): partial(growth._repeated, piece) for piece in PIECES if set(piece) & set('"\\\\{}[],:')}
    made |= {
        "5.1": lambda size: '{"' + '\\"' * (size // 2),
        "a number": lambda size: '{"a": ' + "9" * size + "}",
        "a fraction": lambda size: '{"a": 0.' + "9" * size + "}",
        "an exponent": lambda size: '{"a": 1e' + "9" * size + "}",
        "names": lambda size: json.dumps({f"a{number}": 1 for number in range(size // 10)}),
        "ids": lambda size: json.dumps({"depends_on": ["x"] * (size // 5)}),
        "surrogates": lambda size: '{"a": "' + "\\ud800" * (size // 6) + '"}',
        "the same name": lambda size: '{"a":1' + ',"a":1' * (size // 6) + "}",
    }
    check({"parse": parse}, most=BODY, made=made, floor=0.02)


def request_with(text: str, name: str) -> HttpRequest:
    request = HttpRequest()
    request.META[name] = text
    return request


def record_of(text: str) -> logging.LogRecord:
    error = ValueError(text)
    return logging.makeLogRecord(
        {
            "msg": "%s",
            "args": (text,),
            "name": "api",
            "levelno": 20,
            "exc_info": (ValueError, error, None),
            "given": {"a": [text], "b": {"password": text}},
        }
    )


REDACTED = {
    "redact_text": redaction.redact_text,
    "redact": lambda text: redaction.redact({"a": text, text: "b", "c": [text, (text,)]}),
    "redact a long one": lambda text: redaction.redact(text, max_text=20_000, max_items=1_000),
    "is_secret": redaction.is_secret,
    "JSONFormatter": lambda text: JSONFormatter().format(record_of(text)),
    "TextFormatter": lambda text: TextFormatter().format(record_of(text)),
}
HEADERS = {
    "suspicion of a path": lambda text: find_attack_pattern(text, ""),
    "suspicion of a query": lambda text: find_attack_pattern("", text),
    "client_ip": lambda text: request_context.client_ip(
        {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": text}, trusted_proxies=1
    ),
    "a peer": lambda text: request_context.client_ip({"REMOTE_ADDR": text}, trusted_proxies=0),
    "request_id": request_context.request_id,
    "traceparent": lambda text: request_context.RequestContext(request_id="a", traceparent=text),
    "printable": request_context.printable,
    "shown": lambda text: request_context._cut(text, 60),
    "If-Match": lambda text: etags.if_match(request_with(text, "HTTP_IF_MATCH")),
    "Host": lambda text: request_with(text, "HTTP_HOST").get_host(),
    "Accept": lambda text: request_with(text, "HTTP_ACCEPT").accepted_types,
}


def one_of_each_field():
    return [
        *(
            fields.StrictCharField(max_length=200),
            fields.StrictEmailField(),
            fields.StrictBooleanField(),
            fields.IdField(),
        ),
        *(
            fields.StrictChoiceField(choices=["a", "b"]),
            fields.RFC3339DateTimeField(),
            fields.IdListField(max_length=100),
        ),
        *(
            query_params.IdParameter(),
            query_params.BooleanParameter(),
            query_params.PageParameter(),
            query_params.SearchParameter(),
        ),
        *(query_params.OrderingParameter(("title", "id")), serializers.UUIDField()),
    ]


def validators():
    for model in (Task, Property, User):
        for field in model._meta.concrete_fields:
            if field.get_internal_type() in {"CharField", "TextField", "EmailField"}:
                yield f"{model.__name__}.{field.name}", partial(field.clean, model_instance=None)
    for name, field in log_pages.LogForm.base_fields.items() if hasattr(log_pages, "LogForm") else ():
        yield f"LogForm.{name}", field.clean


VALUES = {
    **{type(field).__name__: field.run_validation for field in one_of_each_field()},
    **{
        f"{kind.__name__}": lambda text, kind=kind: kind(data=QueryDict(text)).is_valid()
        for kind in (TaskListParams, PropertyListParams, UserListParams)
    },
    "status again": lambda text: TaskListParams(data=QueryDict(f"status={text}" * 90)).is_valid(),
    "LoginSerializer": lambda text: LoginSerializer(data={"username": text, "password": text}).is_valid(),
    "ResetConfirmSerializer": lambda text: ResetConfirmSerializer(
        data={"uid": text, "token": text, "new_password": text}
    ).is_valid(),
    "normalize_login": normalize_login,
    "unknown_login": login.hashed_login,
    "uid of a link": password_reset._decode_user,
    "token of a link": lambda text: password_reset._rejection_reason("AA", text),
    "token of Django": lambda text: default_token_generator.check_token(User(pk=1), text),
    "unsubscribe": unsubscribe._decode_token,
}


def search_lines(text: str) -> list[Entry]:
    query = search.LogQuery(level="INFO", text=text[:100], event="a", request_id="b")
    lines = [text.encode("utf-8", "surrogatepass"), orjson.dumps({"message": text.encode("utf-8", "replace").decode()})]
    return [entry for entry in reader.parse_entries(lines, query.line_filter) if query.matches(entry)]


LOGS = {
    "search": search_lines,
    "a traceback": error_groups._raised_at,
    "a time": lambda text: segments.timestamp_of(text.encode("utf-8", "surrogatepass")),
    "later": lambda text: segments.shift(text, 10),
}


@pytest.mark.parametrize("calls", [HEADERS, LOGS], ids=["headers", "logs"])
def test_what_reads_texts_of_strangers_takes_linear_time(calls):
    check(calls, most=TEXT)


@pytest.mark.parametrize("name", REDACTED)
def test_redaction_and_formatting_take_linear_time(name):
    check({name: REDACTED[name]}, most=TEXT, floor=0.02)  # each has the text several times


def test_fields_queries_and_links_take_linear_time(db):
    check(VALUES | dict(validators()), most=VALUE, floor=0.01)


def test_a_log_file_is_read_backwards_in_linear_time(tmp_path):
    path = tmp_path / "info.log"
    at = datetime.now(UTC).isoformat()

    def read(content: bytes) -> int:
        path.write_bytes(content)
        return len(list(reader.ReverseLogReader(path)))

    made = {
        "one line": lambda size: b"a" * size,
        "lines": lambda size: b"\n" * size,
        "braces": lambda size: b"{" * size,
        "records": lambda size: b'{"timestamp":"%s","a":1}\n' % at.encode() * (size // 64),
    }
    check({"Backwards": read}, most=2**20, made=made, floor=0.05)


HEADER_NAMES = ["HTTP_COOKIE", "HTTP_ACCEPT", "CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_IF_MATCH", "HTTP_ORIGIN"]
HEADER_NAMES += ["HTTP_REFERER", "HTTP_HOST", "HTTP_USER_AGENT", "QUERY_STRING"]
HEADER_PIECES = ['"', '\\"', "a=b;", "a/b,", ";a=b", "::", "%2e", "a=b&"]


@pytest.mark.parametrize("name", HEADER_NAMES)
def test_a_request_takes_linear_time_whatever_its_headers(db, name):
    browser = Client(raise_request_exception=False)
    # A header of several lines is longer than a line may be; of Content-Type servers take one.
    most = HEADER if name == "CONTENT_TYPE" else 2 * HEADER
    made = {repr(piece): lambda size, piece=piece: 'a="' + growth._repeated(piece, size) for piece in HEADER_PIECES}
    calls = {
        path: lambda text, path=path, method=method: browser.generic(method, path, "{}", **{name: text})
        for path, method in {"/api/auth/login/": "POST", "/admin/login/": "GET"}.items()
    }
    check(calls, most=most, made=made, floor=0.04)


FORMS = {
    "application/json": ['{"a":', '"', "[]"],
    "application/x-www-form-urlencoded": ["a=b&", "%", "=", "&"],
    "multipart/form-data; boundary=x": [
        '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n',
        "--x",
        "\r\n",
        "-",
    ],
}


@pytest.mark.parametrize(("kind", "pieces"), FORMS.items())
def test_a_form_takes_linear_time(db, kind, pieces):
    browser = Client(raise_request_exception=False)
    calls = {
        path: lambda text, path=path: browser.generic("POST", path, text, content_type=kind)
        for path in ("/api/auth/login/", "/accounts/password-reset/")
    }
    made = {repr(text): partial(growth._repeated, text) for text in pieces}
    check(calls, most=settings.SMALL_BODY, made=made, floor=0.04)
