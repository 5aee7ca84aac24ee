"""Domain errors. `api/rest/problem_handler.py` turns them into responses."""

from collections.abc import Mapping

from django.db import models


class DomainError(Exception):
    """An error with its HTTP status; `detail` tells users what to do next."""

    status = 400
    code = "invalid"
    detail: str | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.code = code or self.code
        self.errors = errors or {}
        self.headers = headers or {}


class NotFound(DomainError):
    status, code = 404, "not_found"


class Unauthenticated(DomainError):
    status, code = 401, "not_authenticated"

    def __init__(self, detail: str, *, code: str) -> None:
        super().__init__(detail, code=code, headers={"WWW-Authenticate": 'Bearer realm="api"'})


class Conflict(DomainError):
    status, code = 409, "conflict"


class StaleVersion(DomainError):
    status, code = 412, "stale_version"
    detail = "The object was changed since you read it. Read it again and repeat your change."


class Invalid(DomainError):
    """Invalid input; `errors` is {field: message}."""

    def __init__(self, errors: Mapping[str, str], *, code: str = "invalid") -> None:
        super().__init__("Some fields are invalid; see errors.", code=code, errors=errors)


class Denied(DomainError):
    """An action that is not allowed on a visible object. The problem handler audits it."""

    status, code = 403, "permission_denied"

    def __init__(
        self,
        *,
        action: str,
        target: models.Model | None = None,
        detail: str | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, errors=errors)
        self.action = action
        self.target = target


class TooManyAttempts(DomainError):
    status, code = 429, "too_many_attempts"

    def __init__(self, *, wait: int) -> None:
        super().__init__(f"Too many failed attempts. Try again in {wait} seconds.", headers={"Retry-After": str(wait)})
