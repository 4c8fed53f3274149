"""The socket behind the bell, over the real consumer and an in-memory layer."""

import json

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser

from accounts.consumers import NoticesConsumer
from apex.common.events import send_now, user_group

# Channels closes old connections around each message, so a connection of an earlier test counts as access.
pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


async def connect_as(user) -> tuple[ApplicationCommunicator, str]:
    """A socket of `user`'s, and the first thing that the server said to it: accept or close."""
    scope = {"type": "websocket", "path": "/ws/notices/", "headers": [], "subprotocols": [], "user": user}
    socket = ApplicationCommunicator(NoticesConsumer.as_asgi(), scope)
    await socket.send_input({"type": "websocket.connect"})
    return socket, (await socket.receive_output())["type"]


async def test_a_stranger_is_refused():
    _, answer = await connect_as(AnonymousUser())
    assert answer == "websocket.close"


async def test_a_notice_reaches_its_owner_and_nobody_else(django_user_model):
    alices, alices_answer = await connect_as(django_user_model(pk=1, username="alice"))
    mallorys, mallorys_answer = await connect_as(django_user_model(pk=2, username="mallory"))
    assert alices_answer == mallorys_answer == "websocket.accept"
    payload = {"type": "notice.created", "id": "x"}
    await sync_to_async(send_now)(user_group(1), payload)
    assert json.loads((await alices.receive_output())["text"]) == payload
    assert await mallorys.receive_nothing()
    for socket in (alices, mallorys):
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait()
