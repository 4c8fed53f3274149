"""Tells open pages that something changed, after the change is committed."""

import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis import RedisError

logger = logging.getLogger(__name__)


def user_group(user_id) -> str:
    return f"user.{user_id}"


def announce(group: str, payload: dict) -> None:
    """Sends `payload` (JSON, with a `type`) to the group once the transaction is through.

    A page that misses it heals when it next reads its fragment, so a broker that is away is logged, not raised.
    """

    def send() -> None:  # has a name: Django asks for it when it tells of what went wrong in a robust hook
        send_now(group, payload)

    transaction.on_commit(send, robust=True)


def send_now(group: str, payload: dict) -> None:
    try:
        async_to_sync(get_channel_layer().group_send)(group, {"type": "page.event", "payload": payload})
    except (OSError, RedisError) as problem:
        logger.warning("could not announce %s to %s: %s", payload.get("type"), group, problem)
