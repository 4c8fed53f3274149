"""How many may wait for the one thread, and what the next one is told. No model is loaded here."""

import asyncio
import json
import threading

import pytest
from asgiref.testing import ApplicationCommunicator

from serving.embedded.app import App
from serving.embedded.worker import MAX_ANSWERS, MAX_WAITING, Worker
from serving.protocol import ApiError, ChatRequest

REQUEST = ChatRequest(model="m", messages=[{"role": "user", "content": "Hi"}])


@pytest.fixture
async def held():
    """A worker whose thread is busy until `held.release` is set, as in the middle of a step."""
    worker = Worker()
    worker.release, is_held = threading.Event(), threading.Event()
    worker._orders.put(lambda: (is_held.set(), worker.release.wait()))
    assert is_held.wait(5)
    yield worker
    worker.release.set()
    worker.stop()


def fill(worker) -> list:
    tickets = [worker.submit(REQUEST) for _ in range(MAX_ANSWERS + MAX_WAITING)]
    with pytest.raises(ApiError) as caught:
        worker.submit(REQUEST)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    return tickets


async def test_those_who_left_do_not_keep_others_from_waiting(held):
    for ticket in fill(held):
        ticket.is_cancelled = True
    held.release.set()
    async with asyncio.timeout(5):
        while held.answers or held._orders.qsize():
            await asyncio.sleep(0.01)
    held.submit(REQUEST).is_cancelled = True


async def test_one_too_many_is_told_to_come_back(held, monkeypatch):
    monkeypatch.setattr(Worker, "is_heavy", True)
    tickets = fill(held)
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    talk = ApplicationCommunicator(App(held), scope)
    await talk.send_input({"type": "http.request", "body": json.dumps(REQUEST.as_body()).encode()})
    start, body = await talk.receive_output(), await talk.receive_output()
    assert start["status"] == 503 and (b"retry-after", b"2") in start["headers"]
    assert json.loads(body["body"])["error"]["code"] == "overloaded"
    for ticket in tickets:
        ticket.is_cancelled = True
