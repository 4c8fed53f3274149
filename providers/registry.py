"""The literal list of providers, and plug-ins beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import entry_points

from django.conf import settings
from django.utils.module_loading import import_string

from providers.base import Ability, Failure, Provider, ProviderFailed

logger = logging.getLogger(__name__)
GROUP = "apex.providers"

PROVIDERS: dict[str, str] = {
    "openai": "providers.backends.openai.OpenAI",
    "anthropic": "providers.backends.anthropic.Anthropic",
    "nvidia": "providers.backends.nvidia.Nvidia",
    "huggingface": "providers.backends.huggingface.HuggingFace",
    "ollama": "providers.backends.ollama.Ollama",
    "custom": "providers.backends.custom.Custom",
}


@dataclass(frozen=True)
class Facts:
    """What is known of a provider before it is asked; a template would call the class itself."""

    name: str
    label: str
    abilities: frozenset[Ability]
    needs_key: bool
    takes_address: bool
    default_address: str
    key_page: str

    @property
    def takes_keys(self) -> bool:
        """Whether there is anything to be kept for it."""
        return self.needs_key or self.takes_address


FACTS = tuple(fact.name for fact in fields(Facts))
PROMISES = ("chat", "stream", "embed", "models", "check")


@cache
def all_providers() -> dict[str, type[Provider]]:
    """Ours, those of apps above (`settings.HOUSE_PROVIDERS`), then plug-ins by name.

    A plug-in that is broken, or takes a name of ours, is logged and left out.
    """
    found: dict[str, type[Provider]] = {
        name: import_string(path) for name, path in (PROVIDERS | settings.HOUSE_PROVIDERS).items()
    }
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            made = point.load()
        except Exception:  # whatever a stranger's module does when it is imported
            logger.exception("The plug-in %s for the provider %r cannot be loaded.", point.value, point.name)
            continue
        if complaint := fault_of(point.name, made, found):
            logger.error("The plug-in %s is left out: %s", point.value, complaint)
            continue
        found[point.name] = made
    return found


def fault_of(name: str, made: type, known: dict[str, type[Provider]]) -> str:
    """Why a plug-in cannot be one, or nothing."""
    if name in known:
        return f"there is a provider named {name!r} already."
    if missing := [part for part in (*FACTS, *PROMISES) if not hasattr(made, part)]:
        return f"it lacks {', '.join(missing)} (providers/base.py says what each is)."
    if made.name != name:
        return f"its name is {made.name!r}, its entry point's {name!r}."
    return ""


def provider_class(name: str) -> type[Provider]:
    """Raises ProviderFailed for a name that is none."""
    try:
        return all_providers()[name]
    except KeyError as problem:
        known = ", ".join(all_providers())
        raise ProviderFailed(
            f"There is no provider {name!r}; there are {known}.", kind=Failure.BAD_REQUEST, param="provider"
        ) from problem


def facts_of(made: type[Provider]) -> Facts:
    return Facts(**{name: getattr(made, name) for name in FACTS})
