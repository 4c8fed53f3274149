"""One at a time looks after a node. Who comes meanwhile leaves a word, and whoever is there looks once more."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from serving.models import Node

# Renewed before each adapter; a worker that was killed holds a node up no longer than this.
LEASE_SECONDS = 180


def take(node_id) -> uuid.UUID | None:
    """A token for the node, or None: somebody is there, and has been told to look once more."""
    token = uuid.uuid4()
    for _ in range(2):
        now = timezone.now()
        free = Node.objects.filter(Q(lease__isnull=True) | Q(lease_until__lt=now), pk=node_id)
        if free.update(lease=token, lease_until=now + timedelta(seconds=LEASE_SECONDS), is_nudged=False):
            return token
        if Node.objects.filter(pk=node_id, lease__isnull=False).update(is_nudged=True):
            return None
    return None


def renew(node_id, token: uuid.UUID) -> bool:
    """False if the lease is somebody else's by now: stop at once."""
    until = timezone.now() + timedelta(seconds=LEASE_SECONDS)
    return bool(Node.objects.filter(pk=node_id, lease=token).update(lease_until=until))


def give_back(node_id, token: uuid.UUID) -> bool:
    """Frees the node. False if somebody asked meanwhile to look once more: then it is still held."""
    if Node.objects.filter(pk=node_id, lease=token, is_nudged=False).update(lease=None, lease_until=None):
        return True
    # Held still, unless it was lost; then there is nothing to look after for us.
    return not Node.objects.filter(pk=node_id, lease=token).update(is_nudged=False)
