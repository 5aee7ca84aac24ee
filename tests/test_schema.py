"""The OpenAPI document and the page to try it."""

import re

import requests

from tests.live.server import Server

METHODS = {"get", "post", "patch", "delete"}


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


def test_every_route_is_in_the_document_with_its_errors_and_what_it_is_for(document):
    from tests.test_routes import ROWS

    undocumented = {
        "/api/health/",
        "/api/health/live/",
        "/api/health/ready/",
        "/api/health/detailed/",
        "/api/schema/",
        "/api/docs/",
    }
    named = re.compile(r"\{\w+\}")
    documented = [(method, path) for method, path, _ in ROWS if path.startswith("/api/") and path not in undocumented]
    expected = {f"{method} {named.sub('*', path)}" for method, path in documented}
    found = {named.sub("*", name): operation for name, operation in operations(document)}

    assert set(found) == expected
    for name, operation in found.items():
        assert operation["description"], name
        problems = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"400", "401", "500", "503"} <= set(problems), name
        for answer in problems.values():
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_versions_and_keys_are_documented_where_they_are_read(document):
    parameters = {
        name: {parameter["name"] for parameter in operation.get("parameters", [])}
        for name, operation in operations(document)
    }

    for kind in ("tasks", "properties", "users"):
        assert "Idempotency-Key" in parameters[f"POST /api/{kind}/"]
        assert "If-Match" in parameters[f"PATCH /api/{kind}/{{id}}/"]
    assert {"status", "overdue", "due_after", "page", "ordering"} <= parameters["GET /api/tasks/"]


def test_there_are_examples(document):
    examples = [
        content["examples"]
        for _, operation in operations(document)
        for answer in [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in answer.get("content", {}).values()
        if "examples" in content
    ]

    assert len(examples) > 10


def test_nobody_writes_headers_through_the_version(manager):
    answer = manager.get("/api/schema/?version=1%0d%0aX-Injected:%20yes")

    assert answer.status_code == 200
    assert "X-Injected" not in answer.headers


def test_the_page_takes_everything_from_us(manager, client):
    page = manager.get("/api/docs/")

    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    html = page.content.decode()
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(addresses) >= 4
    for address in addresses:
        assert address.startswith("/"), address
    assert re.findall(r"<script>|<script [^>]*>[^<]", html) == [], "inline scripts would need unsafe-inline"


def test_a_real_server_serves_the_files_of_the_page(server: Server):
    headers = server.sign_in("maria.manager", server.passwords["maria.manager"])
    html = server.request("GET", "/api/docs/", headers=headers).text

    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        answer = requests.get(server.url + address, headers=headers, timeout=10)
        assert answer.status_code == 200, address
        assert answer.content, address
