"""What thinking models say to themselves is handed out beside the answer, and never as a part of it."""

import asyncio

import pytest

from providers.backends.anthropic import Anthropic
from providers.backends.custom import Custom
from providers.base import Access, Call
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, running

HELLO = [{"role": "user", "content": "Hello"}]


def both(provider, model):
    """The whole answer, and the pieces of a stream."""

    async def ask():
        call = Call(model, HELLO, max_tokens=50)
        return await provider.chat(call), [piece async for piece in provider.stream(call)]

    return asyncio.run(ask())


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_server_like_openais(name):
    with running(FakeOpenAI()) as fake:
        fake.thought, fake.thought_name, fake.answer = "Hm, they greet me.", name, "Hello back."
        provider = Custom(Access(key=KEY, base_url=f"{fake.url}/v1"))
        answer, pieces = both(provider, "gpt-4o-mini")
    assert (answer.thought, answer.text) == ("Hm, they greet me.", "Hello back.")
    assert "".join(piece.thought for piece in pieces) == answer.thought
    assert "".join(piece.text for piece in pieces) == answer.text


def test_anthropic():
    with running(FakeAnthropic()) as fake:
        provider = Anthropic(Access(key=KEY, base_url=fake.url))
        answer, pieces = both(provider, "claude-sonnet-4-5")
    assert answer.thought == "Hm." and answer.text == fake.answer
    assert "".join(piece.thought for piece in pieces) == "Hm."
    assert "".join(piece.text for piece in pieces) == fake.answer
