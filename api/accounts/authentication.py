"""Bearer tokens on requests (RFC 6750)."""

from typing import Any

from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from api.accounts.models import Session
from api.accounts.sessions import get_open_session
from api.common.errors import Unauthenticated
from api.users.models import User
from backend.sentry_config import add_user_context

NOT_VALID = "This access token is invalid or has expired. Refresh it or sign in again."


def bearer_token(request: Request) -> bytes | None:
    """Return the bearer token of the Authorization header, or None. The scheme ignores case (RFC 9110, 11.1)."""
    header = request.META.get("HTTP_AUTHORIZATION", "").encode("utf-8", "surrogatepass")
    scheme, *rest = header.split(maxsplit=1) or [b""]
    return b"".join(rest).rstrip() if scheme.lower() == b"bearer" else None


class BearerAuthentication(JWTAuthentication):
    """Loads the token's session and its user in one query; `request.auth` is the session."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:  # type: ignore[override]
        raw: Any = bearer_token(request)
        if raw is None:
            return None
        try:
            session = get_open_session(AccessToken(raw))
        except (TokenError, ValueError):
            raise Unauthenticated(NOT_VALID, code="token_not_valid") from None
        add_user_context(session.user)
        return session.user, session
