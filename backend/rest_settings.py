"""Settings of REST framework and the OpenAPI document that are equal in every environment."""

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.accounts.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["api.rest.permissions.RulePermission"],
    "DEFAULT_RENDERER_CLASSES": ["api.rest.json.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.rest.json.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.rest.negotiation.FirstRendererNegotiation",
    "DEFAULT_SCHEMA_CLASS": "api.rest.schema.CosmoAutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "api.rest.problem_handler.problem_handler",
    "URL_FORMAT_OVERRIDE": None,
    "DATETIME_FORMAT": None,  # the renderer writes RFC 3339 in UTC
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Cosmo",
    "DESCRIPTION": (
        "Tasks, properties and users of a rental company. Conventions: docs/api.md. Limits: a body is a JSON object "
        "of at most 1 MiB, and of 16 KiB under /api/auth/ (413), with at most 2,000 values, 200 fields in one object "
        "and 16 levels (400); a line or a header of a request has at most 8 KiB (400, 431); a page has at most 100 "
        "rows; files and encoded bodies are rejected (415). Each text field states its maximum length."
    ),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["api.rest.permissions.RulePermission"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "deepLinking": True},
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": "api.common.choices.Role",
        "DepartmentEnum": "api.common.choices.Department",
        "TaskStatusEnum": "api.common.choices.TaskStatus",
    },
}
