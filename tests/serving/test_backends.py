"""The client of the answering process, across its restarts."""

import asyncio
import os
import socket
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from serving.backends.base import AdapterFiles, AnswerBroke, BackendUnavailable, Place, Target
from serving.backends.embedded import EmbeddedBackend
from serving.backends.registry import BACKENDS
from serving.nodes import backend_at
from serving.protocol import ApiError, ChatRequest
from serving.routing import RoutedBackend
from tests.serving.embedded_process import running_server

ASK = ChatRequest(model="x", messages=[{"role": "user", "content": "Hi"}], temperature=0, max_tokens=20)


@pytest.fixture
def target(tiny):
    return Target("ft:tiny:me", "tiny-backend", tiny["base"], AdapterFiles("ft:tiny-backend", tiny["one"]))


async def test_what_is_missing_is_loaded_and_then_found(embedded, target):
    backend = BACKENDS["embedded"](embedded.url)
    base = Target("tiny-backend", target.base_name, target.base_path)
    first = await backend.chat(target, ASK)
    assert first.usage.completion_tokens == 20
    assert (await backend.chat(base, ASK)).text != first.text
    assert {"tiny-backend", "ft:tiny-backend"} <= set(await backend.models())
    await backend.ensure_loaded(target)
    embedded.call("POST", "/v1/unload_lora_adapter", {"lora_name": "ft:tiny-backend"})
    assert (await backend.chat(target, ASK)).text == first.text


async def test_a_refusal_keeps_its_words(embedded, target):
    long = ChatRequest(model="x", messages=[{"role": "user", "content": "x" * 600}])
    with pytest.raises(ApiError) as caught:
        await EmbeddedBackend(embedded.url).chat(target, long)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


async def test_files_that_are_gone_are_named(embedded, tmp_path):
    with pytest.raises(ApiError) as caught:
        await EmbeddedBackend(embedded.url).chat(Target("gone", "gone", tmp_path / "gone"), ASK)
    assert "no such directory" in caught.value.message


async def test_nobody_there_is_said_plainly(tmp_path, target):
    backend = EmbeddedBackend(f"unix://{tmp_path}/nobody.sock", wait_seconds=0.1)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.chat(target, ASK)
    assert "not up yet" in caught.value.message


@pytest.mark.parametrize(("was_killed", "most_seconds"), [(True, 0.2), (False, 1.0)])
async def test_in_a_hurry_a_killed_process_is_not_waited_for_and_one_that_starts_is_for_moments(
    tmp_path, target, monkeypatch, was_killed, most_seconds
):
    monkeypatch.setattr("serving.backends.embedded.HURRY_SECONDS", 0.4)
    with socket.socket(socket.AF_UNIX) as left_behind:
        if was_killed:
            left_behind.bind(f"{tmp_path}/nobody.sock")
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable):
        await EmbeddedBackend(f"unix://{tmp_path}/nobody.sock", in_a_hurry=True).chat(target, ASK)
    took = time.monotonic() - begun
    assert took < most_seconds and (was_killed or took >= 0.4)


async def test_a_place_on_that_process_is_not_waited_for_either(tmp_path, target):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(f"{tmp_path}/nobody.sock")
    place = Place(node="here", backend="embedded", address=f"unix://{tmp_path}/nobody.sock")
    placed = replace(target, places=(place,), deployment="live:x")
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable):
        await RoutedBackend(placed, partial(backend_at, in_a_hurry=True)).chat(placed, ASK)
    assert time.monotonic() - begun < 1


def test_a_death_in_mid_answer_is_told_and_the_next_question_waits_for_the_restart(embedded, target):
    async def begin_and_lose(server):
        backend = EmbeddedBackend(server.url)
        deltas = backend.stream_chat(target, ChatRequest(model="x", messages=ASK.messages, temperature=0))
        await anext(deltas)
        os.kill(server.process.pid, 9)
        with pytest.raises(AnswerBroke):
            async for _ in deltas:
                pass

    with running_server() as server:
        asyncio.run(begin_and_lose(server))
        answers = []
        backend = EmbeddedBackend(server.url)
        asking = threading.Thread(target=lambda: answers.append(asyncio.run(backend.chat(target, ASK))))
        asking.start()
        time.sleep(0.5)
        with running_server(path=server.path):
            asking.join(timeout=60)
    assert answers[0].text == asyncio.run(EmbeddedBackend(embedded.url).chat(target, ASK)).text
