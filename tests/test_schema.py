"""The OpenAPI document and its docs page."""

import re

import requests

from tests.live.server import Server

METHODS = {"get", "post", "patch", "delete"}


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


def test_document_describes_every_route_and_its_errors(document):
    from tests.test_routes import ROWS

    undocumented = {
        "/api/health/",
        "/api/health/live/",
        "/api/health/ready/",
        "/api/health/detailed/",
        "/api/schema/",
        "/api/docs/",
    }
    parameter = re.compile(r"\{\w+\}")
    documented = [(method, path) for method, path, _ in ROWS if path.startswith("/api/") and path not in undocumented]
    expected = {f"{method} {parameter.sub('*', path)}" for method, path in documented}
    operations_by_name = {parameter.sub("*", name): operation for name, operation in operations(document)}

    assert set(operations_by_name) == expected
    for name, operation in operations_by_name.items():
        assert operation["description"], name
        problems = {status: response for status, response in operation["responses"].items() if int(status) >= 400}
        assert {"400", "401", "500", "503"} <= set(problems), name
        for response in problems.values():
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_document_lists_version_and_idempotency_headers(document):
    parameters = {
        name: {parameter["name"] for parameter in operation.get("parameters", [])}
        for name, operation in operations(document)
    }

    for kind in ("tasks", "properties", "users"):
        assert "Idempotency-Key" in parameters[f"POST /api/{kind}/"]
        assert "If-Match" in parameters[f"PATCH /api/{kind}/{{id}}/"]
    assert {"status", "overdue", "due_after", "page", "ordering"} <= parameters["GET /api/tasks/"]


def test_document_has_examples(document):
    examples = [
        content["examples"]
        for _, operation in operations(document)
        for response in [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in response.get("content", {}).values()
        if "examples" in content
    ]

    assert len(examples) > 10


def test_version_parameter_injects_no_headers(manager):
    response = manager.get("/api/schema/?version=1%0d%0aX-Injected:%20yes")

    assert response.status_code == 200
    assert "X-Injected" not in response.headers


def test_docs_page_loads_only_own_files(manager, client):
    page = manager.get("/api/docs/")

    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    html = page.content.decode()
    urls = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(urls) >= 4
    for url in urls:
        assert url.startswith("/"), url
    assert re.findall(r"<script>|<script [^>]*>[^<]", html) == [], "inline scripts would need unsafe-inline"


def test_server_serves_files_of_docs_page(server: Server):
    headers = server.sign_in("maria.manager", server.passwords["maria.manager"])
    html = server.request("GET", "/api/docs/", headers=headers).text

    for path in re.findall(r'(?:src|href)="([^"]+)"', html):
        response = requests.get(server.url + path, headers=headers, timeout=10)
        assert response.status_code == 200, path
        assert response.content, path
