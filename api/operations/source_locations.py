"""Source locations of views."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver


def view_location(method: str, route: str) -> str:
    """Return the view of a route as "path:line Class.method", a dotted name outside our code, or "" if none exists."""
    view = _views().get(route)
    return _location(view, method.lower()) if view is not None else ""


@cache
def _views() -> dict[str, Any]:
    views: dict[str, Any] = {}

    def walk(resolver: URLResolver, prefix: str) -> None:
        for pattern in resolver.url_patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                views.setdefault(path, pattern.callback)
            else:
                walk(pattern, path)

    walk(get_resolver(), "")
    return views


def _location(view: Any, method: str) -> str:
    name, code = _handler_of(inspect.unwrap(view, stop=lambda function: _class_of(function) is not None), method)
    source = Path(inspect.getsourcefile(code) or "")
    if "site-packages" in source.parts or not source.is_relative_to(settings.BASE_DIR):
        return f"{code.__module__}.{name}"
    return f"{source.relative_to(settings.BASE_DIR)}:{inspect.getsourcelines(code)[1]} {name}"


def _class_of(view: Any) -> Any:
    return getattr(view, "cls", None) or getattr(view, "view_class", None)


def _handler_of(view: Any, method: str) -> tuple[str, Any]:
    """Return the qualified name of the handler and the object with its source code."""
    view = getattr(view, "func", view)  # unwrap a functools.partial
    owner = _class_of(view)
    if owner is not None:
        handler_name = getattr(view, "actions", {}).get(method, method)
    elif inspect.ismethod(view):
        owner, handler_name = type(view.__self__), view.__name__
    else:
        return view.__qualname__, view
    return (
        (f"{owner.__name__}.{handler_name}", getattr(owner, handler_name))
        if hasattr(owner, handler_name)
        else (owner.__name__, owner)
    )
