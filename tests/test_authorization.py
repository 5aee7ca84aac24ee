"""The Authorization header: one function reads the tokens of users and programs."""

import base64

import pytest

from api.accounts.sessions import open_session
from tests import factories

TOKEN = "a-token-of-machines"
PATHS = ("/api/auth/me/", "/metrics", "/api/health/detailed/")
SPELLINGS = ("Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}", "bearer {}  ", " Bearer {}")


@pytest.fixture(autouse=True)
def _service_tokens(settings):
    settings.METRICS_TOKEN = settings.HEALTH_TOKEN = TOKEN


@pytest.fixture
def access(db) -> str:
    """Return the access token of a superuser."""
    return open_session(factories.user(role="superuser"))["access"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("path", PATHS)
def test_access_token_is_accepted_with_any_scheme_spelling(client, access, path, spelling):
    assert client.get(path, headers={"Authorization": spelling.format(access)}).status_code == 200
    assert client.get(path, headers={"Authorization": spelling.format(access + "x")}).status_code == 401


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("path", PATHS[1:])
def test_service_token_is_accepted_with_any_scheme_spelling(client, db, path, spelling):
    assert client.get(path, headers={"Authorization": spelling.format(TOKEN)}).status_code == 200
    assert client.get(path, headers={"Authorization": spelling.format(TOKEN + "x")}).status_code == 401


def _token(header: str, payload: str = "{}", signature: str = "x") -> str:
    parts = (base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, payload))
    return ".".join([*parts, signature])


INVALID_HEADERS = {
    "empty": "",
    "blank": "   ",
    "scheme alone": "Bearer",
    "blanks after the scheme": "Bearer   ",
    "no blank": f"Bearer{TOKEN}",
    "no scheme": TOKEN,
    "another scheme": f"Token {TOKEN}",
    "two tokens": f"Bearer {TOKEN} {TOKEN}",
    "two headers": f"Bearer {TOKEN},Bearer {TOKEN}",
    "latin-1": "Bearer \x80\xff",
    "no-break space": f"Bearer\xa0{TOKEN}",
    "wide": "Bearer \N{SNOWMAN}",
    "lone surrogate": "Bearer \ud800",
    "wide scheme": f"\N{FULLWIDTH LATIN CAPITAL LETTER B}earer {TOKEN}",
    "NUL": f"Bearer {TOKEN}\0",
    "dots": "Bearer ....",
    "deep header": "Bearer " + _token("[" * 5_000),
    "deep payload": "Bearer " + _token('{"alg": "HS256"}', "[" * 4_000),
    "algorithms": "Bearer " + _token('{"alg": ["HS256"]}'),
    "no algorithm": "Bearer " + _token('{"alg": "none"}', signature=""),
}


@pytest.mark.parametrize("header", INVALID_HEADERS.values(), ids=INVALID_HEADERS)
@pytest.mark.parametrize("path", PATHS)
def test_invalid_authorization_header_returns_401(client, db, path, header):
    response = client.get(path, headers={"Authorization": header})

    assert (response.status_code, response.headers["Content-Type"]) == (401, "application/problem+json")
