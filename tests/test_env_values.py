"""Each kind of variable rejects invalid values by name, without showing the value."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.environment.variables import Environment

READERS = {
    "text": lambda env: env.text("NAME"),
    "secret": lambda env: env.secret("NAME", "", min_length=4),
    "token": lambda env: env.token("NAME"),
    "ascii_text": lambda env: env.ascii_text("NAME"),
    "boolean": lambda env: env.boolean("NAME", default=False),
    "integer": lambda env: env.integer("NAME", 1, minimum=0, maximum=10),
    "fraction": lambda env: env.fraction("NAME", 0.1),
    "choice": lambda env: env.choice("NAME", "a", choices=("a", "b")),
    "host": lambda env: env.host("NAME", "localhost"),
    "hosts": lambda env: env.hosts("NAME", wildcard=False),
    "origins": lambda env: env.origins("NAME"),
    "skipped_paths": lambda env: env.skipped_paths("NAME"),
    "base_url": lambda env: env.base_url("NAME", ""),
    "http_url": lambda env: env.http_url("NAME"),
    "redis_url": lambda env: env.redis_url("NAME"),
    "broker_url": lambda env: env.broker_url("NAME"),
    "database": lambda env: env.database("NAME", Path("/srv/db.sqlite3")),
    "people": lambda env: env.people("NAME"),
    "sender": lambda env: env.sender("NAME", ""),
    "email_backend": lambda env: env.email_backend("NAME", ""),
    "path": lambda env: env.path("NAME", "default"),
    "flag_file": lambda env: env.flag_file("NAME", "default"),
    "bind": lambda env: env.bind("NAME", "127.0.0.1:8000"),
}
REJECTED = {
    "text": ["a\x1b[31mb", "a\nb", "a\u2028b", "a\x7f", "x" * 201, "\udcff"],
    "secret": ["abc", "abcd\n", "abcd\udcff"],
    "token": ["a b", " a", "a\n", "\u00e9"],
    "ascii_text": ["p\u00e4ss", "a\nb", "a\tb"],
    "boolean": ["", "onn", " on", "\uff4fn", "2"],
    "integer": ["\u0663", "1_0", "+1", " 1", "1 ", "-1", "11", "1.0", "1e1", "0x1", "9" * 5000, "\uff11"],
    "fraction": ["nan", "inf", "-inf", "\u0660.\u0665", "0_1", "1.1", "-0.1", "1e999", "0x1", " 0.1", "9" * 5000],
    "choice": ["A", " a", "a,b", "c"],
    "host": ["smtp://h", "h:25", "h/x", "u@h", "a b", "-h", "h..h", "[::1]", ":", "h?"],
    "hosts": [",", " , ", ".", "*", "a,*", "*.a", "h:80", "https://h", "h/", "a b", "::1", "[::g]", "a..b", "u@h"],
    "origins": [",", "null", "a", "https://", "https://a/", "https://a/x", "https://*.a", "https://u@a", "https://a?b",
                "https://a#b", "https://a:0", "https://a:99999", "https://a:\u0665", "ftp://a", "https://a b"],
    "skipped_paths": [",", "/", "a/", "/a?b", "/a/*", "/a#b", "/a b", "/%61"],
    "base_url": ["a", "https://", "https://a/x", "https://u:p@a", "https://a?b", "https://a#", "https://a,https://b"],
    "http_url": ["a", "ftp://a", "http://u:p@a", "http://a?b", "http://a#b", "http://a:x", "http://a b", "http://a\n"],
    "redis_url": ["redis://", "h:6379", "redis://:p/w@h/0", "redis://:12/w@h/0", "redis://u:12/w@h/0", "redis://:p@w@h/0",
                  "redis://:p#w@h/0", "redis://:p?w@h/0", "redis://:p%w@h/0", "redis://:p,w@h/0", "redis://h/x", "redis://h/0/1",
                  "redis://h:0", "redis://h:port", "redis://h/0#x", "http://h", "redis://a,redis://b", "redis://:%ff@h"],
    "broker_url": ["amqp://", "amqp://u:p/w@h//", "amqp://u:12/w@h//", "amqp://u:p@w@h//", "amqp://u:p#w@h//", ";",
                   "amqp://u:p;w@h//", "amqp://h;", "redis://u:12/w@h/0", "sqs://h", "amqp://h/a/b"],
    "database": ["sqlite:///", "sqlite://", "sqlite:", "sqlite://x/y", "sqlite:///x?y=1", "sqlite:////tmp", "sqlite:///x/",
                 "sqlite:///~nobody-at-all/x", "postgres://u:p/w@h/n", "postgres://u:12/w@h/n", "postgres://u:p@w@h/n",
                 "postgres://u:p#w@h/n", "postgres://u:p?w@h/n", "postgres://u:p%w@h/n", "postgres://u:p%00@h/n",
                 "postgres://u:%ff@h/n", "postgres://u@h", "postgres://u@h/", "postgres://u@h/a/b", "postgres://u@h/n#x",
                 "postgres://u@h:0/n", "postgres://u@h:x/n", "postgres://u@h/n?sslmod=require", "postgres://u@h/n?sslmode=on",
                 "postgres://u@h/n?sslmode", "postgres://u@h/n?connect_timeout=9", "postgres://u@https://h/n", "mysql://u@h/n",
                 "postgres://u@h/n?sslmode=require&sslmode=disable"],
    "people": [",", "a@b", ":a@b", " :a@b", "A:a", "A:a@b@c", "A:B:a@b", "A:a@b\nBcc:c@d", "A<:a@b", "A:a b@c"],
    "sender": ["a", "Cosmo", "Cosmo <a>", "Cosmo <a@b", "Cosmo, Inc <a@b>", "a@b,c@d", "a@b c", "A\nBcc: <c@d>"],
    "email_backend": ["smtp", "django.core.mail.backends.smtp", "django.core.mail.backends.smpt.EmailBackend",
                      "..", "a b.c", "django.core.mail.backends.smtp.Mailer", "django.conf.settings",
                      "no_such_package.EmailBackend", "django.core.mail.backends.base.BaseEmailBackend"],
    "path": ["~nobody-at-all/logs", "a\nb", "a\u200bb"],
    "flag_file": ["/tmp", "/run/cosmo/", "~nobody-at-all/x"],
    "bind": ["h", "h:", ":80", "*:80", "h:99999", "h:\u0665", "h:80 ", "http://h:80", "unix:", "unix:x", "unix:/", "unix://x/y",
             "unix:/" + "a" * 107, "a:1,b:2", "[::g]:80"],
}  # fmt: skip
PARSED = {
    "database": {
        "postgres://u:p%2Fw%40@h:5432/n?sslmode=verify-full": {
            "PASSWORD": "p/w@",
            "HOST": "h",
            "PORT": 5432,
            "NAME": "n",
        },
        "postgresql://u:p,;:!@h1,h2/n": {"PASSWORD": "p,;:!", "HOST": "h1,h2"},
        "postgres:///n": {"HOST": "", "NAME": "n"},
        "postgres://u@%2Fvar%2Frun%2Fpostgresql/n": {"HOST": "/var/run/postgresql", "NAME": "n"},
        "postgres:////var/run/postgresql/n": {"HOST": "/var/run/postgresql", "NAME": "n"},
        "postgres://u@[::1]:5432/n": {"HOST": "::1", "PORT": 5432},
        "sqlite:////srv/a+b%20c.db": {"NAME": "/srv/a+b c.db"},
        "sqlite:///:memory:": {"NAME": ":memory:"},
    },
}


@pytest.mark.parametrize(("reader", "value"), [(name, value) for name in REJECTED for value in REJECTED[name] if value])
def test_invalid_value_is_rejected_by_name(monkeypatch, reader, value):
    monkeypatch.setenv("NAME", value)
    env = Environment()

    READERS[reader](env)

    assert [problem.partition(" must be ")[0] for problem in env.problems] == ["NAME"]


def test_every_reader_has_rejected_values():
    assert set(REJECTED) == set(READERS)


@pytest.mark.parametrize(("value", "parts"), PARSED["database"].items())
def test_database_url_is_parsed(monkeypatch, value, parts):
    monkeypatch.setenv("NAME", value)
    env = Environment()

    parsed = env.database("NAME", Path("/srv/db.sqlite3"))

    assert env.problems == []
    assert parsed.items() >= parts.items()


ALPHABET = "ab1:/@.,;?#%[]<>*~ '\"\\-_=&+$!\u00e9\u0663\u2028\x7f\n\udcff"
PREFIXES = [
    "",
    "https://",
    "redis://",
    "amqp://",
    "postgres://",
    "sqlite:///",
    "unix:",
    "django.",
    "Admin:",
    "canary ",
]


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(PREFIXES), st.text(ALPHABET, max_size=40))
def test_rejected_value_is_never_shown(reader, prefix, rest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAME", f"{prefix}{rest}canary-7261")
        env = Environment()

        READERS[reader](env)

    assert all("canary-7261" not in problem for problem in env.problems)
