"""Who learned from a version: told by the apps above, which `settings.DATASET_LEARNERS` names.

Each of these modules has `learners_of(version_ids) -> list[Learner]` and `forget_versions(version_ids)`, which lets go
of whatever may be done without (a half-filled plan).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class Learner:
    """A job or an adapter. While `is_at_work` the rows are needed, and nothing of them can be erased."""

    kind: str  # "job" or "adapter"
    id: str
    name: str
    url: str
    version_id: Any
    is_at_work: bool = False


def _modules() -> Iterator[ModuleType]:
    return (import_module(name) for name in settings.DATASET_LEARNERS)


def learners_of(version_ids: Iterable[Any]) -> list[Learner]:
    version_ids = list(version_ids)
    return [learner for module in _modules() for learner in module.learners_of(version_ids)]


def forget_versions(version_ids: Iterable[Any]) -> None:
    version_ids = list(version_ids)
    for module in _modules():
        module.forget_versions(version_ids)
