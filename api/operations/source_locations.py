"""Where in the code an address is answered."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver


def view_location(method: str, route: str) -> str:
    """The view as path:line Class.method, or its dotted name where it is not our code; "" if there is none."""
    view = _views().get(route)
    return _place(view, method.lower()) if view is not None else ""


@cache
def _views() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(resolver: URLResolver, prefix: str) -> None:
        for pattern in resolver.url_patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                found.setdefault(path, pattern.callback)
            else:
                walk(pattern, path)

    walk(get_resolver(), "")
    return found


def _place(view: Any, method: str) -> str:
    name, code = _code_of(inspect.unwrap(view, stop=lambda function: _class_of(function) is not None), method)
    source = Path(inspect.getsourcefile(code) or "")
    if "site-packages" in source.parts or not source.is_relative_to(settings.BASE_DIR):
        return f"{code.__module__}.{name}"
    return f"{source.relative_to(settings.BASE_DIR)}:{inspect.getsourcelines(code)[1]} {name}"


def _class_of(view: Any) -> Any:
    return getattr(view, "cls", None) or getattr(view, "view_class", None)


def _code_of(view: Any, method: str) -> tuple[str, Any]:
    """The name of what answers, and where it is written."""
    view = getattr(view, "func", view)  # of a partial
    owner = _class_of(view)
    if owner is not None:
        verb = getattr(view, "actions", {}).get(method, method)
    elif inspect.ismethod(view):
        owner, verb = type(view.__self__), view.__name__
    else:
        return view.__qualname__, view
    return (f"{owner.__name__}.{verb}", getattr(owner, verb)) if hasattr(owner, verb) else (owner.__name__, owner)
