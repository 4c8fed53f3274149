"""Every route of the site, read from the URLconf and the socket routes, so that a new one cannot be forgotten."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

# Not ours to guard: the admin has its own permissions (superusers only), allauth its own pages.
LEFT_OUT = ("admin/",)
# Routes of the house: no owner behind them.
PUBLIC = {"healthz", "api-schema", "base_models:model-detail", "api-base-model-detail"}


@dataclass(frozen=True)
class Route:
    name: str  # "training:job-detail", or the pattern where there is no name
    pattern: str
    parameters: tuple[str, ...]
    namespace: str


def routes() -> Iterator[Route]:
    yield from walk(get_resolver().url_patterns, "", "")


def walk(patterns, prefix: str, namespace: str) -> Iterator[Route]:
    for pattern in patterns:
        text = prefix + str(pattern.pattern)
        if text.startswith(LEFT_OUT):
            continue
        if isinstance(pattern, URLResolver):
            inner = ":".join(part for part in (namespace, pattern.namespace) if part)
            yield from walk(pattern.url_patterns, text, inner)
        elif isinstance(pattern, URLPattern):
            parameters = tuple(parameters_of(pattern))
            name = ":".join(part for part in (namespace, pattern.name) if part) or text
            yield Route(name, text, parameters, namespace)


def parameters_of(pattern: URLPattern) -> list[str]:
    converters = getattr(pattern.pattern, "converters", {})
    groups = getattr(pattern.pattern, "regex", None)
    return list(converters) or list(groups.groupindex if groups else [])


def own_routes() -> list[Route]:
    """Those of Apex itself that somebody's things may be behind."""
    return [
        route for route in routes() if not route.pattern.startswith("accounts/") and route.name not in PUBLIC
    ]


def key_for(route: Route, parameter: str, known: Iterable[str]) -> str | None:
    """Under which of the `known` names the value of a parameter stands: its own, or for a bare id that of its route."""
    if parameter not in ("pk", "id"):
        return parameter if parameter in known else None
    name = route.name.rpartition(":")[2].removeprefix("of-user-")
    return next((key for key in known if name.startswith(key)), None)
