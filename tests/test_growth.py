"""Patterns, parsers and validators of untrusted text take linear time.

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

TEXT = 10_000  # characters: the redaction limit, and longer than a request line
HEADER = 8_192
VALUE = 8_192
BODY = 2**18

# Pieces of hostile texts: to repeat, to open without an end, or almost matching a pattern.
PIECES = [
    '"', "'", '\\"', "\\", '{"', '{"a":', '{"a":1,', "[", "]", "[],", "(", "<", "a", "a ", " ", "  a", "\n", "\r\n",
    "=", "a=", "a=b&", "a=b;", "; ", ", ", ",", ":", "://", "//", "/", "/..", "..", "./", "a.", "a-", "a@", "a@a.",
    "%", "%25", "%2e%2e", "%u0041", "+", "\x00", "\x85", "é", "\ufdfa", "e\u0301", "\U0001f600", 'W/"1", ', '"1",',
    "0", "9", "1e", "1.", "-", "0-", "::", "1:", "2026-05-31T", "password", "password=", "password: '", "token=\\'",
    "'password': [", '{"password": {"', "Bearer ", "bearer a", "Basic ", "eyJ", "eyJabcdefgh.", "secret", "cookie: ",
    "://a:", "a://b:c@", "-----BEGIN A", "$argon2", "argon2$", "reset/", "/a/", "Key (a)=(", ")=(", "(a(",
    "failing row ",
    "<script", "< script", "union ", "union all ", "' or ", "; drop ", "sleep (", "onerror ", "javascript:", "${jndi:",
    "text/html,", "text/html;q=0.1,", "a/b;c=d;", ';a="', "--x\r\n", "--x", "Content-Disposition: form-data; name=",
]  # fmt: skip


def texts():
    """Return hostile texts as {name: function of the length}."""
    inputs = {repr(piece): partial(growth.repeated, piece) for piece in PIECES}
    inputs |= {
        f"unclosed {piece!r}": partial(_unclosed, piece)
        for piece in ('"', "'", '{"a": "', "password='", "[", "eyJ", "<")
    }
    return inputs


def _unclosed(piece: str, size: int) -> str:
    return piece + "a" * size


def check(calls, *, most, inputs=None, floor=growth.FLOOR):
    """Fail if the time of a function grows faster than its input; name the first such input."""
    inputs = inputs or texts()
    failures = [slowest for name, call in calls.items() if (slowest := first_slow(name, call, inputs, most, floor))]
    assert failures == []


def first_slow(name, call, inputs, most, floor=growth.FLOOR) -> str:
    for text, make in inputs.items():
        if problem := superlinear(call, make, most=most, floor=floor):
            return f"{name}({text}): {problem}"
    return ""


def test_every_pattern_takes_linear_time():
    failures = [
        slow
        for name, pattern in growth.patterns().items()
        for method, call in growth.calls_of(name, pattern).items()
        if (slow := first_slow(f"{name}.{method}", call, growth.inputs_for(pattern), TEXT))
    ]
    assert failures == []


def test_project_patterns_are_found():
    names = growth.patterns()

    assert set(names) >= {
        "backend.http.attack_patterns._ANY",
        "backend.redaction.forms._PAIR",
        "backend.request_context._TRACEPARENT",
        "api.rest.json._TOKEN",
        "api.rest.etags._ETAG",
        "api.users.models.validate_username",
        "api.operations.error_groups._FRAME",
    }
    assert any(name.startswith("api.rest.query_params.re.fullmatch:") for name in names)
    assert any(name.startswith("api.operations.log_pages.") for name in names)
    assert len(names) > 30


PLANTED = {
    "two equal repeats": (r"\d+\d+x", "search"),
    "unclosed quote": (r'"(?:[^"\\]|\\.)*+"', "findall"),
    "large bound": (r"<[^>]{0,4000}>", "search"),
    "exponential": (r"(?:a+)+$", "fullmatch"),
    "blanks before the end": (r"\s+$", "search"),
    "almost matching prefix": (r"(?:key=\w*)*;", "search"),
    "bounded prefix": (r"[\w.]{1,4000}@", "sub"),
}


@pytest.mark.parametrize(("source", "method"), PLANTED.values(), ids=PLANTED)
def test_superlinear_pattern_is_found_in_every_container(source, method):
    pattern = re.compile(source)
    module = types.ModuleType("planted")
    module.__file__ = ""
    module.ALONE, module.MANY = pattern, {"a": [(pattern, "x")]}
    holder = type("Holder", (), {"inner": pattern, "__module__": "planted"})
    module.Holder = holder

    names = growth.patterns_of(module)

    assert set(names) == {"planted.ALONE", "planted.MANY['a'][0][0]", "planted.Holder.inner"}
    call = {"search": pattern.search, "fullmatch": pattern.fullmatch, "findall": pattern.findall}.get(
        method, partial(pattern.sub, "")
    )
    assert any(superlinear(call, make, most=TEXT) for make in growth.inputs_for(pattern).values())


@pytest.mark.parametrize("power", [1, 1.1])
def test_linear_function_is_not_reported(power):
    assert (
        superlinear(
            lambda text: [hash(text[:9]) for _ in range(int(len(text) ** power))],
            partial(growth.repeated, "a"),
            most=60_000,
        )
        == ""
    )


def parse(text: str) -> object:
    return BoundedJSONParser().parse(io.BytesIO(text.encode("utf-8", "surrogatepass")))


def test_json_bodies_take_linear_time():
    inputs = {repr(piece): partial(growth.repeated, piece) for piece in PIECES if set(piece) & set('"\\\\{}[],:')}
    inputs |= {
        "escaped quotes": lambda size: '{"' + '\\"' * (size // 2),
        "a number": lambda size: '{"a": ' + "9" * size + "}",
        "a fraction": lambda size: '{"a": 0.' + "9" * size + "}",
        "an exponent": lambda size: '{"a": 1e' + "9" * size + "}",
        "names": lambda size: json.dumps({f"a{number}": 1 for number in range(size // 10)}),
        "ids": lambda size: json.dumps({"depends_on": ["x"] * (size // 5)}),
        "surrogates": lambda size: '{"a": "' + "\\ud800" * (size // 6) + '"}',
        "the same name": lambda size: '{"a":1' + ',"a":1' * (size // 6) + "}",
    }
    check({"parse": parse}, most=BODY, inputs=inputs, floor=0.02)


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
    "redact with high limits": lambda text: redaction.redact(text, max_text=20_000, max_items=1_000),
    "is_secret": redaction.is_secret,
    "JSONFormatter": lambda text: JSONFormatter().format(record_of(text)),
    "TextFormatter": lambda text: TextFormatter().format(record_of(text)),
}
HEADERS = {
    "attack pattern in a path": lambda text: find_attack_pattern(text, ""),
    "attack pattern in a query": lambda text: find_attack_pattern("", text),
    "client_ip": lambda text: request_context.client_ip(
        {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": text}, trusted_proxies=1
    ),
    "client_ip without proxies": lambda text: request_context.client_ip({"REMOTE_ADDR": text}, trusted_proxies=0),
    "request_id": request_context.request_id,
    "traceparent": lambda text: request_context.RequestContext(request_id="a", traceparent=text),
    "printable": request_context.printable,
    "cut": lambda text: request_context._cut(text, 60),
    "If-Match": lambda text: etags.if_match(request_with(text, "HTTP_IF_MATCH")),
    "Host": lambda text: request_with(text, "HTTP_HOST").get_host(),
    "Accept": lambda text: request_with(text, "HTTP_ACCEPT").accepted_types,
}


def one_of_each_field():
    return [
        fields.StrictCharField(max_length=200),
        fields.StrictEmailField(),
        fields.StrictBooleanField(),
        fields.IdField(),
        fields.StrictChoiceField(choices=["a", "b"]),
        fields.RFC3339DateTimeField(),
        fields.IdListField(max_length=100),
        query_params.IdParameter(),
        query_params.BooleanParameter(),
        query_params.PageParameter(),
        query_params.SearchParameter(),
        query_params.OrderingParameter(("title", "id")),
        serializers.UUIDField(),
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
    "repeated status": lambda text: TaskListParams(data=QueryDict(f"status={text}" * 90)).is_valid(),
    "LoginSerializer": lambda text: LoginSerializer(data={"username": text, "password": text}).is_valid(),
    "ResetConfirmSerializer": lambda text: ResetConfirmSerializer(
        data={"uid": text, "token": text, "new_password": text}
    ).is_valid(),
    "normalize_login": normalize_login,
    "hashed_login": login.hashed_login,
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
    "shift": lambda text: segments.shift(text, 10),
}


@pytest.mark.parametrize("calls", [HEADERS, LOGS], ids=["headers", "logs"])
def test_readers_of_untrusted_text_take_linear_time(calls):
    check(calls, most=TEXT)


@pytest.mark.parametrize("name", REDACTED)
def test_redaction_and_formatting_take_linear_time(name):
    check({name: REDACTED[name]}, most=TEXT, floor=0.02)  # each contains the text several times


def test_fields_queries_and_links_take_linear_time(db):
    check(VALUES | dict(validators()), most=VALUE, floor=0.01)


def test_log_file_is_read_backwards_in_linear_time(tmp_path):
    path = tmp_path / "info.log"
    at = datetime.now(UTC).isoformat()

    def read(content: bytes) -> int:
        path.write_bytes(content)
        return len(list(reader.ReverseLogReader(path)))

    inputs = {
        "one line": lambda size: b"a" * size,
        "lines": lambda size: b"\n" * size,
        "braces": lambda size: b"{" * size,
        "records": lambda size: b'{"timestamp":"%s","a":1}\n' % at.encode() * (size // 64),
    }
    check({"ReverseLogReader": read}, most=2**20, inputs=inputs, floor=0.05)


HEADER_NAMES = ["HTTP_COOKIE", "HTTP_ACCEPT", "CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_IF_MATCH", "HTTP_ORIGIN"]
HEADER_NAMES += ["HTTP_REFERER", "HTTP_HOST", "HTTP_USER_AGENT", "QUERY_STRING"]
HEADER_PIECES = ['"', '\\"', "a=b;", "a/b,", ";a=b", "::", "%2e", "a=b&"]


@pytest.mark.parametrize("name", HEADER_NAMES)
def test_request_takes_linear_time_with_hostile_headers(db, name):
    browser = Client(raise_request_exception=False)
    # Servers join repeated headers, so they can exceed the line limit. They accept one Content-Type.
    most = HEADER if name == "CONTENT_TYPE" else 2 * HEADER
    inputs = {repr(piece): lambda size, piece=piece: 'a="' + growth.repeated(piece, size) for piece in HEADER_PIECES}
    calls = {
        path: lambda text, path=path, method=method: browser.generic(method, path, "{}", **{name: text})
        for path, method in {"/api/auth/login/": "POST", "/admin/login/": "GET"}.items()
    }
    check(calls, most=most, inputs=inputs, floor=0.04)


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


@pytest.mark.parametrize(("content_type", "pieces"), FORMS.items())
def test_form_takes_linear_time(db, content_type, pieces):
    browser = Client(raise_request_exception=False)
    calls = {
        path: lambda text, path=path: browser.generic("POST", path, text, content_type=content_type)
        for path in ("/api/auth/login/", "/accounts/password-reset/")
    }
    inputs = {repr(text): partial(growth.repeated, text) for text in pieces}
    check(calls, most=settings.SMALL_BODY, inputs=inputs, floor=0.04)
