"""The canary matrix: secret names, forms of texts with secrets, and harmless texts. Each line is a case."""

import json
from base64 import b64encode
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from html import escape
from keyword import iskeyword
from types import SimpleNamespace
from urllib.parse import quote, quote_plus, urlencode

from django.core.exceptions import ValidationError
from django.http import QueryDict
from rest_framework import serializers

NAMES = [
    *("password", "passwd", "passphrase", "passcode", "secret", "token", "authorization", "cookie", "session", "csrf"),
    *("xsrf", "credential", "credentials", "apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "jwt"),
    *("signature", "recoverycode", "backupcode", "sessid", "passwort"),
    *("key", "keys", "pwd", "pass", "auth", "bearer", "otp", "totp", "pin", "pins", "cvv", "cvc", "sid", "dsn"),
    *("sig", "hmac", "psk"),
    # Common spellings
    *(
        "Password",
        "NEW-PASSWORD",
        "userPassword",
        "DB_PASSWORD",
        "access_token",
        "apiKey",
        "X-Api-Key",
        "client.secret",
    ),
    *("sessionid", "csrfmiddlewaretoken", "HTTP_COOKIE", "password_reset_url", "card_pin", "PHPSESSID", "connect.sid"),
    *("pass%77ord", "p\\u0061ssword", "ｐａｓｓｗｏｒｄ", "pass\u200bword", "pa\u00adssword"),
]
# Encoded names, which are possible only in some forms: Python and XML do not allow them.
PLAIN_NAMES = [name for name in NAMES if name.isidentifier() and name.isascii() and not iskeyword(name)]


@dataclass
class Pair:
    name: str
    value: str


def _query_dict(name: str, secret: str) -> str:
    query = QueryDict(mutable=True)
    query.setlist("a", ["1", "2"])
    query.setlist(name, [secret, secret])
    return str(query)


def _multipart(name: str, secret: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\nX-A: b\r\n\r\n{secret}\r\n--b--'


def _times(number: int, name: str, secret: str) -> str:
    text = {"user": "bo", name: secret, "n": 1}
    for _ in range(number):
        text = json.dumps(text)
    return text


# Each form takes a name and a secret. The secret is any text without blanks, quotes and brackets.
FORMS = {
    "name=value": lambda n, s: f"with {n}={s} it",
    "name: value": lambda n, s: f"with {n}: {s}, it",
    "name = 'value'": lambda n, s: f"SET {n} = '{s} {s}' WHERE id = 1",
    "name => value": lambda n, s: f'{n} => "{s}"',
    "semicolons": lambda n, s: f"a=1;{n}={s};b=2",
    "value with separators": lambda n, s: f"{n}={s},{s}&{s})x; then",
    "brackets": lambda n, s: f"(for {n}={s})",
    "escaped quote": lambda n, s: f"{n}='it\\'s {s}'",
    "apostrophe": lambda n, s: str({n: f"it's {s}"}),
    "both quotes": lambda n, s: str({n: f"it's \" {s}"}),
    "unclosed quote": lambda n, s: f"{n}='{s} {s}",
    "wrapped string": lambda n, s: f"{{'{n}': 'a {s} '\n      'b {s}', 'b': 1}}",
    "three quotes": lambda n, s: f'{n} = """{s}\n{s} "a"\n{s}"""',
    "pair in a text in a dict": lambda n, s: str({"a": f'"{n}", "a={s}"', "b c": f"data['{n}'] = '{s}'"}),
    "dict": lambda n, s: str({"user": "bo", n: s, "b": 1}),
    "nested dict": lambda n, s: str({"a": {"b": [{n: s}]}}),
    "list": lambda n, s: str({n: [s, s], "b": 1}),
    "tuple": lambda n, s: str({n: (s, 1), "b": 1}),
    "set": lambda n, s: str({n: {s}}),
    "dict in it": lambda n, s: str({n: {"x": {"y": f"{s} ]"}}, "b": 1}),
    "bytes": lambda n, s: str({n: s.encode(), b"b": b"1"}),
    "bytes keys": lambda n, s: str({n.encode(): s.encode()}),
    "QueryDict": _query_dict,
    "ValidationError": lambda n, s: repr(ValidationError({n: [s]})),
    "text of ValidationError": lambda n, s: str(ValidationError({n: [s]})),
    "error of REST framework": lambda n, s: str(serializers.ValidationError({n: [s]})),
    "OrderedDict": lambda n, s: str(OrderedDict([("a", 1), (n, s)])),
    "pairs": lambda n, s: f"OrderedDict([('a', 1), ('{n}', '{s}')])",
    "pair": lambda n, s: str((n, s)),
    "list pair": lambda n, s: json.dumps([["a", "1"], [n, s]]),
    "headers of ASGI": lambda n, s: str([(b"host", b"x"), (n.encode(), f"Bearer {s}".encode())]),
    "raw headers": lambda n, s: f'"Host", "x", "{n}", "a={s}"',
    "subscript": lambda n, s: f"data['{n}'] = '{s}'",
    "default": lambda n, s: f"environ.get('{n}', '{s}')",
    "annotation": lambda n, s: f"    {n}: str | None = '{s}'",
    "nested call": lambda n, s: f"{{'{n}': Secret(Text('{s}', b=(1)))}}",
    "JSON": lambda n, s: _times(1, n, s),
    "JSON in JSON": lambda n, s: _times(2, n, s),
    "JSON in JSON in JSON": lambda n, s: _times(3, n, s),
    "JSON, four times": lambda n, s: _times(4, n, s),
    "repr of JSON": lambda n, s: repr(_times(1, n, s)),
    "repr of JSON in JSON": lambda n, s: repr(_times(2, n, s)),
    "JSON as bytes": lambda n, s: str(_times(1, n, s).encode()),
    "pretty JSON": lambda n, s: json.dumps({"a": {n: [s, s]}, "b": 1}, indent=4),
    "names and values": lambda n, s: json.dumps([{"name": n, "value": s}]),
    "values and names": lambda n, s: str({"value": s, "name": n}),
    "query string": lambda n, s: f"/x?a=1&{n}={s}&b=2#c",
    "query string with more": lambda n, s: f"/x?{n}={s}%26{s}%3D{s}&b=2",
    "form body": lambda n, s: urlencode({"a": 1, "b": s[:0], n: s}),
    "field of a field": lambda n, s: f"user[{n}]={s}&x=1",
    "percent-encoded pair": lambda n, s: quote(f"{n}={s}&a=1"),
    "percent-encoded twice": lambda n, s: quote(quote(f"{n}={s}&a=1")),
    "percent-encoded inside": lambda n, s: f"/login?next={quote(f'/x?{n}={s}%26{s}&y=1', safe='')}&z=1",
    "percent-encoded JSON": lambda n, s: f"data={quote(_times(1, n, s))}&z=1",
    "percent-encoded JSON in JSON": lambda n, s: quote_plus(_times(2, n, s)),
    "percent-encoded brackets": lambda n, s: f"user%5B{n}%5D={s}%26{s}&x=1",
    "HTML entities": lambda n, s: escape(str({n: f"{s} {s}", "b": 1})),
    "code points": lambda n, s: f"\\u0022{n}\\u0022: \\u0022{s} {s}\\u0022",
    "typographic quotes": lambda n, s: f"\u201c{n}\u201d: \u201c{s} {s}\u201d",
    "full-width signs": lambda n, s: f"{n}\uff1a{s} and {n}\uff1d{s}",
    "--name value": lambda n, s: f"run --a --{n} {s} --b",
    "--name=value": lambda n, s: f"run --{n}='{s} {s}' --b",
    "argv": lambda n, s: str(["run", f"--{n}", s, "--b"]),
    "environment": lambda n, s: f"{n}={s} ./run",
    "header": lambda n, s: f"GET / HTTP/1.1\r\n{n}: {s}\r\nHost: x",
    "YAML": lambda n, s: f"a:\n  {n}: {s}\n  b: 1",
    "YAML, list": lambda n, s: f"a:\n  {n}:\n    - {s}\n    - {s}\n  b: 1",
    "YAML, block": lambda n, s: f"{n}: |\n  {s}\n  {s}\nb: 1",
    "next line": lambda n, s: f"{n}:\n{s}\n",
    "Markdown": lambda n, s: f"**{n}:** {s}",
    "table": lambda n, s: f"| {n} | {s} |",
    "SQL": lambda n, s: f"ALTER ROLE cosmo {n} '{s}'",
    "multipart": _multipart,
    "repr of multipart": lambda n, s: repr(_multipart(n, s).encode()),
    "input": lambda n, s: f'<input class="a" name="{n}" type="text" value="{s}">',
    "input, value first": lambda n, s: f'<input value="{s}" name="{n}">',
    "table of HTML": lambda n, s: f'<tr><td>{n}</td><td class="code"><pre>{s}</pre></td></tr>',
    "element": lambda n, s: f"<a><{n}>{s}</{n}></a>",
    "element with attributes": lambda n, s: f'<x:{n} Type="t"><![CDATA[{s}]]></x:{n}>',
}
FORMS_OF_PLAIN_NAMES = {
    "named tuple": lambda n, s: str(namedtuple("Pair", ["user", n], rename=True)("bo", f"{s} {s}")),
    "namespace": lambda n, s: str(SimpleNamespace(**{n: f"{s} {s}", "b": 1})),
    "data class": lambda n, s: str(Pair(n, s)),
}
NOT_FOR = {  # (form, name): names that are no names in this form, or that make another one of it
    **{("SQL", name): "" for name in NAMES if "%" in name or "\\" in name},
}

# Secrets without a name: (text with {}, secret)
SHAPES = [
    ("postgres://user:{}@db.example.com:5432/cosmo", "x7hunter2"),
    ("postgres://user:{}/{}@db.example.com:5432/cosmo", "x7hunter2"),
    ("postgres://user:a@{}@db.example.com/cosmo", "x7hunter2"),
    ("redis://:{}@127.0.0.1:6379/0", "x7hunter2"),
    ("https://{}@sentry.example.com/1", "x7hunter2"),
    ("https%3A%2F%2Fuser%3A{}%40example.com%2F", "x7hunter2"),
    ("https:\\/\\/user:{}@example.com", "x7hunter2"),
    ("BEARER {}", "x7hunter2"),
    ("Authorization:bearer {}", "x7hunter2"),
    ("sent Bearer%20{} there", "x7hunter2"),
    ("basic {}", b64encode(b"user:x7hunter2").decode()),
    ("curl -u user:{} https://example.com", "x7hunter2"),
    ("curl --user 'user:{}' https://example.com", "x7hunter2"),
    ("Cookie: a={}; b={}", "x7hunter2"),
    ("/accounts/password-reset/MQ/{}/", "x7hunter2"),
    ("next=%2Faccounts%2Fpassword-reset%2FMQ%2F{}%2F", "x7hunter2"),
    ("/unsubscribe/{}/", "x7hunter2"),
    ("unsubscribe%2F{}", "x7hunter2"),
    ("it was {}", "ghp_abcdefghijklmnopqrst0123456789"),
    ("it was {}", f"gAAAAAB{'x7hunter2' * 8}=="),
    ("keys: {}", f"{'x7-hunter' * 4}abcdefg="),
    ("it was {}", "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"),
    ("it was {}", "-----BEGIN PRIVATE KEY-----\\nMIIEowIBAAKCAQEA\\n-----END PRIVATE KEY-----"),
    ("DETAIL:  Key (lower(email::text))=({}) already exists.", "x7hunter2"),
    ("unnamed portal parameter $1 = '{}'", "x7hunter2"),
    ("DETAIL:  Failing row contains (1, {}).", "x7hunter2"),
]

CANARY = "canary4f7a9bQ2"


def every_form(secret: str = CANARY, name: str = "password") -> dict[str, str]:
    """Return one name and one secret in all forms, and all shapes."""
    shapes = {f"shape {number}": text.replace("{}", secret) for number, (text, secret) in enumerate(SHAPES)}
    return {form: write(name, secret) for form, write in {**FORMS, **FORMS_OF_PLAIN_NAMES}.items()} | shapes


def leaks(text: str) -> list[str]:
    """Return the secrets of every_form that are in this text."""
    return [secret for secret in {CANARY, *(shape_secret for _, shape_secret in SHAPES)} if secret in text]


# Texts and structures that redaction must not change.
HARMLESS_TEXTS = [
    "Password reset email sent to user@example.com by admin",
    "Basic cleaning of the token machine",
    "Permission denied: Manager attempted direct password change",
    "Token reuse detected",
    "Session ended",
    "User login successful",
    "Password reset failed: expired",
    "event=token_reuse",
    "event: session_ended",
    "password_reset_url",
    "slow at api/accounts/sessions.py:65 session_of",
    "api/accounts/password_reset.py:128",
    'File "/srv/cosmo/api/accounts/sessions.py", line 65, in session_of',
    "https://cosmo.example.com:8000/api/tasks/?page=2",
    "https://auth.example.com:8443/tasks",
    "https://cosmo.example.com:8000/api/users/?search=bo@example.com",
    '{"url":"https://example.com","email":"bo@example.com"}',
    "2026-11-23T10:00:00Z took 12 ms",
    "GET /accounts/password-reset/ 200",
    "GET /api/auth/sessions/12/ 200",
    "keyboard: broken, monkey: present",
    "author: Bo; compass: north; opinion: good; shipping: late; inside: dry",
    "Owner <owner@example.com> wrote",
    "{'ended sessions': 12, 'browser sessions': 0, 'idempotency keys': 3}",
    "tokens: 5, sessions: 3.",
    "session_count=3",
    "--max-tokens 5",
    "password=None",
    "{'token': None, 'otp': None, 'otp_required': True}",
    "{'kind': 'pass_fail', 'pass_fail': 'pass'}",
    "key=linen_count",
    "{'key': 'lobby', 'value': 3}",
    "sorted(rows, key=lambda row: row.pk)",
    "KeyError: 'name'",
    "TokenError: Token is invalid or expired",
    "SessionInterrupted was raised",
    "{'field': 'password', 'code': 'password_too_short'}",
    '{"code": "token_not_valid", "detail": "Sign in first."}',
    "Fields: ['username', 'password', 'email']",
    "Bearer token missing",
    "docker run -u 1000:1000 cosmo",
    "Set your password: ",
    "100%25 of the rooms & 5 &amp; 6",
    "C:\\new\\table",
    "public_key=abcdef",
]
HARMLESS_STRUCTURES = [
    {"ended sessions": 12, "idempotency keys": 3, "limits": 0},
    {"tokens": 5, "password_length": 12.5, "has_password": True, "token": None},
    {"sessions": -1, "cookies": 0},
    {"pass_fail": "pass", "kind": "pass_fail"},
    {"code": "token_not_valid", "field": "password"},
    {"key": "linen_count", "value": "3"},
    {"key": 42},
    {
        "user_id": 1,
        "keyboard": "x",
        "monkey": "y",
        "author": "z",
        "passed": "a",
        "compass": "b",
        "event": "token_reuse",
    },
    {"place": "sessions.py:65", "fields": ["username", "password", "email"]},
    {"title": ["Password", "Alarm"], "status": ["open", "pass"]},
    {"name": "password", "code": "too_short"},
    {"name": "tokens", "value": 5},
]
