"""The URLs of Cosmo, and test URLs whose views fail, leak or are slow."""

import json
import logging
import subprocess
import sys
import threading
import time

from django.db import DatabaseError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import Context, Template
from django.urls import include, path, reverse
from django.views.decorators.csrf import csrf_exempt

from api.models import User
from backend.http import error_pages
from tests.secret_forms import CANARY, every_form

logger = logging.getLogger("api")

handler400 = error_pages.bad_request
handler403 = error_pages.permission_denied
handler404 = error_pages.page_not_found
handler500 = error_pages.server_error


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_chunks())


def _chunks():
    for _ in range(3):
        User.objects.exists()
        yield b"12345"


def slow(request: HttpRequest) -> HttpResponse:
    time.sleep(0.05)
    return HttpResponse("late")


def slow_query(request: HttpRequest) -> HttpResponse:
    pause = "SELECT pg_sleep(%s)" if connection.vendor == "postgresql" else _BUSY
    with connection.cursor() as cursor:
        cursor.execute(pause, [0.05 if connection.vendor == "postgresql" else 300_000])
    return HttpResponse("late")


_BUSY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT count(*) FROM n"


def n_plus_one(request: HttpRequest) -> HttpResponse:
    for number in range(12):
        User.objects.filter(pk=number).exists()
    return HttpResponse("often")


_held: list[bytes] = []


def hold(request: HttpRequest, megabytes: int) -> HttpResponse:
    """Hold this much memory until the next request."""
    _held.clear()
    _held.append(b"x" * (megabytes * 2**20))
    return HttpResponse("held")


def modules(request: HttpRequest) -> HttpResponse:
    """Return this worker's imported tracing modules and its threads."""
    names = sorted(name for name in sys.modules if name.startswith("opentelemetry"))
    return HttpResponse(json.dumps({"modules": names, "threads": [thread.name for thread in threading.enumerate()]}))


def fail(request: HttpRequest) -> HttpResponse:
    raise ValueError("it broke")


def fail_reverse(request: HttpRequest) -> HttpResponse:
    return HttpResponse(reverse("manager_admin:app_list"))


def fail_template(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template("{% nonsense %}", name="odd/page.html").render(Context()))


def unread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request._read_started))


def own_headers(request: HttpRequest) -> HttpResponse:
    return HttpResponse("", headers={"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "sandbox"})


@csrf_exempt
def leak(request: HttpRequest, token: str = "") -> HttpResponse:
    """Log secrets in every part of a record, then fail."""
    data = json.loads(request.body) if request.content_type == "application/json" else request.POST.dict()
    logger.info("Headers %s", dict(request.headers))
    logger.info("Body %(password)s of %(data)s", {"password": data.get("password"), "data": data})
    logger.warning(f"Cookies: {request.COOKIES}, full path {request.get_full_path()}")  # noqa: G004
    logger.info("Nested", extra={"outer": [{"inner": {"data": data, "headers": dict(request.headers)}}]})
    logger.error("Raw", extra={"raw": request.body, "authorization": request.headers.get("Authorization")})
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table WHERE password = %s", [data.get("password")])
    except DatabaseError:
        logger.exception("A query failed")
    try:
        raise OperationalError(f"connection to postgres://cosmo:{data.get('password')}@db:5432/cosmo failed")
    except OperationalError as error:
        raise ValueError(f"password={data.get('password')!r} was wrong, token: {data.get('token')}") from error


def leak_forms(request: HttpRequest) -> HttpResponse:
    """Log every form of a secret in every part of a record, then fail with one."""
    forms = every_form()
    for text in forms.values():
        logger.info("It says %s and %r", text, [text], extra={"fact": text})
    subprocess.run([sys.executable, "-c", "", "--password", CANARY], check=True)
    facts = {f"fact {number}": text for number, text in enumerate(forms.values())}
    logger.error("All of %s, %s", facts, {"password": CANARY, "pin": 4417}, extra={**facts, "query": request.GET})
    logger.error("Named %(password)s %(what)s", {"password": CANARY, "what": forms["dict"]})
    raise ValueError(forms["JSON in JSON"], {"password": CANARY})


urlpatterns = [
    path("odd/leak/", leak),
    path("odd/leak-forms/", leak_forms),
    path("accounts/password-reset/MQ/<str:token>/", leak),
    path("odd/stream/", stream),
    path("odd/slow/", slow),
    path("odd/slow-query/", slow_query),
    path("odd/n-plus-one/", n_plus_one),
    path("odd/hold/<int:megabytes>/", hold),
    path("odd/modules/", modules),
    path("odd/fail/", fail),
    path("odd/fail-reverse/", fail_reverse),
    path("odd/fail-template/", fail_template),
    path("odd/unread/", unread),
    path("odd/own-headers/", own_headers),
    path("api/odd/fail/", fail),
    path("", include("backend.urls")),
]


class FailingMiddleware:
    """Raise an exception outside of any view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        raise ValueError("a middleware broke")
