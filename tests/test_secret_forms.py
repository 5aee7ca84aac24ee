"""Secrets are masked in every form, under every name and on every channel; other data is kept."""

import json
import logging
from collections import ChainMap, UserDict, defaultdict, namedtuple
from itertools import pairwise
from time import process_time

import pytest
from django.http import QueryDict

from api.audit.events import Event
from api.audit.trail import record
from api.models import AuditEntry
from backend.redaction import REDACTED, is_secret, names, redact, redact_text
from tests import factories
from tests.admin_sites import MANAGER, browser_of
from tests.logs import wait_until
from tests.secret_forms import (
    CANARY,
    FORMS,
    FORMS_OF_PLAIN_NAMES,
    HARMLESS_STRUCTURES,
    HARMLESS_TEXTS,
    NAMES,
    NOT_FOR,
    PLAIN_NAMES,
    SHAPES,
    every_form,
    leaks,
)


@pytest.mark.parametrize("form", FORMS)
def test_names_are_masked_in_every_form(form):
    redacted = {name: redact_text(FORMS[form](name, CANARY)) for name in NAMES if (form, name) not in NOT_FOR}

    assert {name: text for name, text in redacted.items() if CANARY in text} == {}


@pytest.mark.parametrize("form", FORMS_OF_PLAIN_NAMES)
def test_plain_names_are_masked_in_every_form_of_python(form):
    redacted = {name: redact_text(FORMS_OF_PLAIN_NAMES[form](name, CANARY)) for name in PLAIN_NAMES}

    assert {name: text for name, text in redacted.items() if CANARY in text} == {}


def test_name_table_has_a_case_for_every_entry():
    assert {*names.SECRET_PARTS, *names.SECRET_WORDS} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if "%" not in name and "\\" not in name])
def test_names_are_masked_in_structures(name):
    row = namedtuple("Row", ["a", name], rename=True)
    structures = [
        {name: CANARY},
        {"a": [{name: {"b": CANARY}}]},
        {name.encode(): CANARY},
        {("a", name): CANARY},
        UserDict({name: CANARY}),
        ChainMap({}, {name: CANARY}),
        QueryDict(f"a=1&{name}={CANARY}&{name}={CANARY}"),
        [(name, CANARY)],
        [("a", "b"), (name.encode(), CANARY.encode())],
        [["a", "b"], [name, CANARY]],
        {(name, CANARY)},
        [{"name": name, "value": CANARY}],
        {"value": CANARY, "key": name},
        ["run", f"--{name}", CANARY],
        [f"--{name}={CANARY}"],
        {name: f"12{CANARY}"},
        *([row("b", CANARY)] if name in row._fields else []),
    ]

    assert is_secret(name)
    assert [redacted for redacted in map(redact, structures) if CANARY in str(redacted)] == []


@pytest.mark.parametrize(("text", "secret"), SHAPES)
def test_secret_is_recognized_by_shape_without_a_name(text, secret):
    for written in (text, json.dumps(text)[1:-1], "x" * 300 + " " + text + " and more"):
        masked = redact_text(written.replace("{}", secret))

        assert secret not in masked
        assert REDACTED in masked


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_harmless_texts_are_kept(text):
    assert redact_text(text) == text
    assert redact_text(text + " " * 300) == text + " " * 300


@pytest.mark.parametrize("structure", HARMLESS_STRUCTURES)
def test_harmless_structures_are_kept(structure):
    assert redact(structure) == structure


@pytest.mark.parametrize("name", ["pin", "otp", "PIN", "Otp", "pin-code", "cvv"])
def test_numbers_are_masked_when_they_are_secret(name):
    assert redact({name: 1234}) == {name: REDACTED}
    assert redact_text(f"{name}=1234") == f"{name}={REDACTED}"
    assert redact_text(f"{{'{name}': 1234}}") == f"{{'{name}': {REDACTED}}}"


@pytest.mark.parametrize("name", ["password", "pass", "secret", "access_token", "auth"])
def test_typed_digits_are_masked(name):
    assert redact({name: "12345678"}) == {name: REDACTED}
    assert redact_text(f"/x?{name}=12345678&a=1") == f"/x?{name}={REDACTED}&a=1"
    assert redact_text(f"{{'{name}': '12345678'}}") == f"{{'{name}': '{REDACTED}'}}"


def test_number_beyond_64_bits_is_masked_under_a_secret_name():
    assert redact({"private_key": 2**200, "key_count": 3}) == {"private_key": REDACTED, "key_count": 3}


@pytest.mark.parametrize("form", every_form())
def test_cut_text_shows_no_half_secret(form):
    secret = "".join(f"{number:04x}" for number in range(0xA000, 0xA000 + 20))
    text = f"{'x' * 300}\n{every_form(secret)[form]}" if not form.startswith("shape") else ""
    pieces = [secret[at : at + 6] for at in range(len(secret) - 5)]
    for limit in range(300, len(text), 3):
        redacted = redact_text(text, limit=limit).partition("...[cut")[0]
        assert not any(piece in redacted for piece in pieces), redacted


@pytest.mark.parametrize(
    "text",
    [
        *("password={}", "password='{}'", "{{'password': ['{}']}}", "Cookie: a={}", "Bearer {}", "eyJhbGciOiJI.{}"),
        *("postgres://user:{}", "https://{}@example.com", "$2b$12${}", "-----BEGIN PRIVATE KEY-----\n{}"),
        *("/password-reset/MQ/{}/", "--password {}", '"{{\\"password\\": \\"{}\\"}}"', "password%3D{}"),
    ],
)
def test_secret_longer_than_all_limits_is_masked_completely(text):
    for secret in ("z7Q" * 400, "z7Q" * 4_000):
        for written in (text.format(secret), "x " * 4_000 + text.format(secret)):
            assert "z7Qz7Q" not in redact_text(written)
            assert "z7Qz7Q" not in str(redact({"a": written}, max_text=200))


def everything(logs, capsys, mailoutbox) -> str:
    return logs.text() + capsys.readouterr().err + "".join(mail.subject + mail.body for mail in mailoutbox)


@pytest.fixture
def channels(settings, log_to):
    """The log files, the console and emails to administrators."""
    settings.ADMINS = [("Tech", "tech@example.com")]
    logs = log_to(mail_admins=True, debug=True, level="DEBUG")
    settings.LOGS_DIR = logs.folder
    return logs


def log_in_every_way(logger: logging.Logger, text: str) -> None:
    logger.info("It says %s", text)
    logger.info("It says %(what)r", {"what": text})
    logger.info(f"It says {text}")  # noqa: G004
    logger.info("In a field", extra={"fact": text, "facts": [{"inner": text}], text[:200]: 1})
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        try:
            raise ValueError([text]) from error
        except ValueError:
            logger.exception("It broke")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("nothing_leaves")
def test_channels_show_no_secret_in_any_form(channels, manager, capsys, mailoutbox):
    for text in every_form().values():
        log_in_every_way(logging.getLogger("api"), text)
    changes = {form: ["", text] for form, text in every_form().items()}
    record(Event.TASK_UPDATED, actor=manager.user, changes=changes, detail=every_form()["JSON in JSON"])
    body = {"description": every_form()["QueryDict"]}
    assert manager.patch(f"/api/tasks/{factories.task().pk}/", body).status_code == 200
    wait_until(lambda: mailoutbox)
    browser = browser_of(factories.user(role="manager"))
    pages = [
        browser.get(f"{MANAGER}/operations/logs/", query).content.decode()
        for query in ({"file": "info"}, {"level": "ERROR"}, {"text": "It says"})
    ]

    assert "It broke" in pages[1]
    assert AuditEntry.objects.filter(event="task_updated").count() == 2
    redacted = everything(channels, capsys, mailoutbox)
    for channel in (redacted, str(list(AuditEntry.objects.values())), *pages):
        assert leaks(channel) == []


@pytest.mark.parametrize("form", ["dict", "QueryDict", "JSON in JSON", "ValidationError", "percent-encoded pair"])
def test_error_response_shows_nothing_of_the_exception(client, channels, monkeypatch, manager, form):
    def broken(*_, **__):
        raise ValueError(every_form()[form])

    monkeypatch.setattr("api.tasks.views.visible_tasks", broken)
    manager.raise_request_exception = False

    response = manager.get("/api/tasks/")

    assert response.status_code == 500
    assert response.json()["code"] == "server_error"
    assert leaks(response.content.decode()) == []
    assert channels.of_request("error", response)
    assert leaks(channels.text()) == []


def test_cut_path_and_user_agent_show_no_half_secret(client, logs):
    for length in range(30):
        path = f"/{'a' * (943 + length)}/accounts/password-reset/MQ/{'zq' * 20}/"
        client.get(path, headers={"User-Agent": f"{'a' * (260 + length)} https://user:{'zq' * 20}@example.com"})

    assert len(logs.entries("performance")) == 30
    assert "zq" not in logs.text()


def test_cut_traceback_shows_no_half_secret(logs):
    for length in range(7_600, 8_000, 40):
        for text in ("https://user:{}@example.com", "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"):
            secret = "\n".join(["zq" * 30] * (1 if "@" in text else 40))
            message = f"{'a ' * (length // 2)}{text.format(secret)}{' b' * 6_700}\n"
            try:
                raise ValueError(2 * message)
            except ValueError:
                logging.getLogger("api").exception("It broke")

    assert len(logs.entries("error", message="It broke")) == 20
    assert "zq" not in logs.text()


def test_cleanup_counts_are_kept(db, logs):
    from api import cleanup

    counts = cleanup.run()

    assert set(counts) >= {"ended sessions", "login attempt counters", "idempotency keys"}
    assert logs.entry("info", event="cleanup_done")["deleted"] == counts


def test_message_shows_all_values_of_a_query_dict(logs):
    logging.getLogger("api").info("query %s", QueryDict("a=1&a=2&password=x7canary"))
    logging.getLogger("api").info("query %r of %s", QueryDict("a=1&a=2&otp=x7canary"), "bo")

    first, second = (entry["message"] for entry in logs.entries("info"))
    assert first.startswith("query <QueryDict: {'a': ['1', '2'], 'password': [")
    assert second.startswith("query <QueryDict: {'a': ['1', '2'], 'otp': [")
    assert "x7canary" not in first + second


def test_field_shows_all_values_of_a_query_dict(logs):
    logging.getLogger("api").info("A query", extra={"query": QueryDict("a=1&a=2&password=x7canary")})

    assert logs.entry("info", message="A query")["query"] == {"a": ["1", "2"], "password": REDACTED}


def test_named_arguments_use_the_lookup_of_their_mapping(logs):
    class Guessed(dict):
        def __missing__(self, name):
            return f"no {name}"

    counted = defaultdict(int, a=1, tokens=5)
    logging.getLogger("api").info("%(a)s and %(b)s, %(password)s", Guessed(a=1))
    logging.getLogger("api").info("%(a)d, %(b)d, %(tokens)d", counted)
    logging.getLogger("api").info("all: %s", counted)

    messages = [entry["message"] for entry in logs.entries("info")]
    assert messages[:2] == [f"1 and no b, {REDACTED}", "1, 0, 5"]
    assert messages[2].startswith("all: ")
    assert "'tokens': 5" in messages[2]


def test_keys_with_equal_texts_keep_their_values():
    assert sorted(redact({1: "a", "1": "b", b"1": "c"}).values()) == ["a", "b", "c"]


PIECES = [
    *(
        "a",
        "_",
        "\\",
        '"',
        "'",
        "=",
        ":",
        ",",
        "&",
        "%",
        "%25",
        "%22",
        "&quot;",
        "&amp;",
        "\\u0022",
        "<",
        "<a ",
        "</td>",
    ),
    *("(", "[", "{", ")", "password", "password=", "password='", 'password="', "password:\n", "password: (", "key "),
    *("password=a,", "'password', ", "('password','x'), ", "name='password' value=", 'name="password"\r\n', "value="),
    *("<password>", "<td>password</td>", "://a:", "://a@", "://a:b/", "eyJ", "bearer ", "basic a", "reset/a/", "(a)=("),
    *("-----BEGIN A-----", "argon2$", "$1 = '", "-u a:", "--password ", "cookie: ", "password: a = ", "password:\n- "),
    *("\uff50", "\u200b", "%C3%A9", "%FF", 'password\\"', "0" * 31 + "-"),
]


@pytest.mark.parametrize("pieces", [*((piece,) for piece in PIECES), *pairwise(PIECES[::2]), *pairwise(PIECES[1::3])])
def test_redaction_time_grows_linearly_with_a_hostile_text(pieces):
    def seconds(length: int) -> float:
        text = ("".join(pieces) * length)[:length]
        times = []
        for _ in range(3):
            started = process_time()
            redact_text(text, limit=length)
            times.append(process_time() - started)
        return min(times)

    assert seconds(8_000) < 4 * 2.5 * max(seconds(2_000), 0.001)
