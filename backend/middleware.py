"""What happens around every request, outermost first."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backend import health, request_context
from backend.problems import fill_with_problem

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestContextMiddleware:
    """Makes the request id and the client's address known to everything inside; answers carry X-Request-ID."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        context = request_context.from_meta(request.META, trusted_proxies=settings.TRUSTED_PROXY_COUNT)
        with request_context.serving(context):
            response = self.get_response(request)
        response.headers.setdefault("X-Request-ID", context.request_id)
        return response


class ProblemDetailsMiddleware:
    """Under /api/ every refusal and every fault is application/problem+json, whoever answered; nothing is stored."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not request.path_info.startswith("/api/"):
            return response
        is_json = response.headers.get("Content-Type", "").startswith(("application/problem+json", "application/json"))
        if isinstance(response, HttpResponse) and response.status_code >= 400 and not is_json:
            fill_with_problem(response)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class HealthCheckMiddleware:
    """Answers the load balancer before the host check and the HTTPS redirect: probes come by address, in plain HTTP."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == "/api/health/":
            return health.basic(request)
        return self.get_response(request)
