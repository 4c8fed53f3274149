"""Every route of the site, read from the URLconf and the socket routes, so that a new one cannot be forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

# Not ours to guard: the admin has its own permissions (superusers only), allauth its own pages.
LEFT_OUT = ("admin/",)


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
