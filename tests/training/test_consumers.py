import json
import uuid

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser

from training import events
from training.consumers import JobConsumer

pytestmark = pytest.mark.django_db(transaction=True)


async def connect_as(user, job_id) -> tuple[ApplicationCommunicator, dict]:
    """A socket of `user`'s to a job, and the first thing that the server said to it: accept or close."""
    route = {"kwargs": {"job_id": job_id}}
    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "subprotocols": [],
        "user": user,
        "url_route": route,
    }
    socket = ApplicationCommunicator(JobConsumer.as_asgi(), scope)
    await socket.send_input({"type": "websocket.connect"})
    return socket, await socket.receive_output()


async def test_the_owner_hears_of_points(alice, job):
    socket, answer = await connect_as(alice, job.pk)
    assert answer["type"] == "websocket.accept"
    await sync_to_async(events.points_recorded)(job, [[1, 2.0, None]])
    said = json.loads((await socket.receive_output())["text"])
    assert said["type"] == "job.points" and said["points"] == [[1, 2.0, None]]
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


async def test_strangers_visitors_and_wrong_ids_are_refused_alike(alice, mallory, job):
    answers = []
    for user, job_id in [(mallory, job.pk), (AnonymousUser(), job.pk), (alice, uuid.uuid4())]:
        socket, answer = await connect_as(user, job_id)
        answers.append(answer)
    assert answers[0]["type"] == "websocket.close"
    assert answers[0] == answers[1] == answers[2]
