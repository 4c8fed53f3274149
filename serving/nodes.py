"""Servers of models as rows: the embedded process announces itself, each is asked by the backend of its kind."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from apex.common.secrets import Context, SecretError, open_secret
from serving.backends.base import Backend, Place
from serving.backends.registry import BACKENDS
from serving.models import EMBEDDED, Health, Node

logger = logging.getLogger(__name__)

# As many as the embedded process keeps in memory; it brings back the others when they are asked.
EMBEDDED_ADAPTERS = 128
EMBEDDED_RANK = 256
# To the minute is exact enough, and an idle site writes nothing in between.
SEEN_NOTED = timedelta(minutes=1)


def announce_embedded() -> Node:
    """The row of the process that comes with Apex, made at the first start. What the house decides of it stays."""
    node, _made = Node.objects.get_or_create(
        backend=EMBEDDED,
        defaults={
            "name": EMBEDDED,
            "adapter_slots": EMBEDDED_ADAPTERS,
            "most_adapters": EMBEDDED_ADAPTERS,
            "most_rank": EMBEDDED_RANK,
        },
    )
    return node


def place_of(node: Node) -> Place:
    """Where it is. Raises SecretError where its key cannot be opened."""
    key = open_secret(node.sealed_key, Context.of(node, "sealed_key")) if node.sealed_key else ""
    address = settings.EMBEDDED_URL if node.backend == EMBEDDED else node.address
    return Place(node=str(node.pk), backend=node.backend, address=address, key=key)


def backend_at(place: Place, *, in_a_hurry: bool = False) -> Backend:
    make = BACKENDS[place.backend]
    if place.backend == EMBEDDED:
        return make(place.address, in_a_hurry=in_a_hurry)
    return make(place.address, api_key=place.key)


def backend_of(node: Node) -> Backend:
    """Raises SecretError, and ValueError for an address that is none."""
    return backend_at(place_of(node))


def places_of(nodes) -> tuple[Place, ...]:
    """Those of the nodes whose key can be opened."""
    found = []
    for node in nodes:
        try:
            found.append(place_of(node))
        except SecretError as problem:
            logger.warning("%s is not asked: %s", node, problem)
    return tuple(found)


def note_health(node: Node, health: str, problem: str = "") -> None:
    """Writes down how it was found, where that is news; `last_seen_at` moves when it answered, once a minute."""
    changes: dict = {"health": health, "problem": problem[:2000]}
    is_news = (node.health, node.problem) != (changes["health"], changes["problem"])
    if health != Health.AWAY and (is_news or not was_seen_within(node, SEEN_NOTED)):
        changes["last_seen_at"] = timezone.now()
        is_news = True
    if is_news:
        Node.objects.filter(pk=node.pk).update(**changes)
    for name, value in changes.items():
        setattr(node, name, value)


def was_seen_within(node: Node, time: timedelta) -> bool:
    return node.last_seen_at is not None and timezone.now() - node.last_seen_at < time
