"""Minions: what choosing the next outside model takes, and what a question costs before anybody outside is asked.

Everything outside answers at once, in this process, so that what is left is ours: the router with the breaker's shared
state (a real broker), each mode's pipeline, and what one stage more adds. Peer: calling the same answerer directly.
`minions_house` has the rest, with rows: switching, a whole question, looking up, the ledger. Stores of 100,000 pieces
and their peer are in `knowledge`, budgets and PostgreSQL in `ledger`.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench.figures import figure
from bench.people import percentile

ROUNDS, WARM_UP = 400, 40
WORDS = ["An ", "answer ", "in ", "five ", "pieces."]
MESSAGES = [{"role": "user", "content": "What is the tallest mountain?"}]


def measure() -> Iterator[dict]:
    """Yield milliseconds for the router and for each way through the pipeline."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        os.environ["APEX_DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")
        from apex.processes import broker

        server = subprocess.Popen(
            broker.command(broker.find_server(), Path(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = broker.redis_url(Path(folder))
            while not broker.answers(url):
                time.sleep(0.05)
            import django

            django.setup()
            yield from asyncio.run(figures())
            from bench import minions_house

            yield from minions_house.figures()
        finally:
            server.terminate()
            server.wait()


async def figures() -> list[dict]:
    found = [await router(), *await pipelines()]
    from django.core.cache import cache

    await cache.aclose()
    return found


async def router() -> dict:
    """Of a chain of ten, of which nine cannot be asked: the state of all is read, the tenth is chosen."""
    from minions.choosing import Situation, choose
    from minions.health import healths
    from minions.recipes import Link

    chain = [Link("openai", f"model-{number}", context=10) for number in range(9)] + [Link("openai", "last")]
    situation = Situation(input_tokens=100, output_tokens=100)
    ours, theirs = [], []
    for _ in range(ROUNDS + WARM_UP):
        begun = time.perf_counter()
        decision = choose(chain, situation, health=await healths("bench", chain))
        ours.append((time.perf_counter() - begun) * 1000)
        assert decision.index == 9
        begun = time.perf_counter()
        choose(chain, situation)
        theirs.append((time.perf_counter() - begun) * 1000)
    value, peer = (percentile(times[WARM_UP:], 99) for times in (ours, theirs))
    return figure(
        "router: the tenth of ten links, with shared health, p99", value, "ms", "the decision alone", peer
    )


async def pipelines() -> list[dict]:
    """Own time to the first words, p50 and p99, by which stages there are."""
    found = []
    direct, before = await timed(answer_directly), None
    ways = {
        "outside model": {"mode": "provider_only"},
        "knowledge, outside model": {"mode": "rag_only"},
        "adapter, knowledge, outside model": {"mode": "hybrid"},
        "knowledge, outside model, adapter": {"mode": "hybrid", "adapter_role": "rewriter"},
        "adapter": {"mode": "lora_only"},
    }
    for words, values in ways.items():
        times = await timed(lambda values=values: answer_by_pipeline(values))
        for per_cent in (50, 99):
            name = f"pipeline, own time to the first words: {words}, p{per_cent}"
            value, peer = percentile(times, per_cent), percentile(direct, per_cent)
            found.append(figure(name, value, "ms", "asking it directly", peer))
        found += one_stage_more(words, times, before)
        before = times
    return found


def one_stage_more(words: str, times: list[float], before: list[float] | None) -> list[dict]:
    """What the stage costs that these have and those before them had not; only the first three ways grow by one."""
    stage = {"knowledge, outside model": "the look-up", "adapter, knowledge, outside model": "the draft"}.get(
        words
    )
    if stage is None or before is None:
        return []
    value, without = percentile(times, 50), percentile(before, 50)
    name = f"pipeline, own time of one stage more: {stage}, p50"
    return [figure(name, value - without, "ms", "all before it", without)]


async def timed(act) -> list[float]:
    times = [await act() for _ in range(ROUNDS + WARM_UP)]
    return times[WARM_UP:]


async def answer_directly() -> float:
    begun = time.perf_counter()
    async for _piece in Outside().stream(None):
        break
    return (time.perf_counter() - begun) * 1000


async def answer_by_pipeline(values: dict) -> float:
    from minions.flow import Question
    from minions.pipeline import Pipeline

    pipeline = Pipeline(recipe(**values), Question(messages=MESSAGES), Means())
    text = ""
    async for event in pipeline.run():
        text += getattr(event, "text", "")
    assert text == "".join(WORDS), text
    return pipeline.trace.clock.own_ms()


def recipe(**values):
    from minions.recipes import Link, Recipe

    usual = {
        "name": "Bench", "persona": "You are brief.", "adapter": "ft:bench", "adapter_base": None,
        "adapter_role": "drafter", "knowledge_bases": ("one",), "chain": (Link("openai", "x"), Link("nvidia", "y")),
        "choosing": "in_order", "style_tokens": 100, "knowledge_tokens": 1000, "history_tokens": 1000,
        "answer_tokens": 100, "passages": 6, "temperature": 0.0, "on_style_failure": "skip",
        "on_knowledge_failure": "skip", "on_answer_failure": "fall_back",
    }  # fmt: skip
    return Recipe(**usual | values)


class Outside:
    """A provider in this process that answers at once."""

    async def stream(self, _call) -> AsyncIterator:
        from providers.base import Piece, Usage

        for word in WORDS:
            yield Piece(word)
        yield Piece(finish_reason="stop", usage=Usage(10, 5))


class Means:
    """Everything that a pipeline asks for, at once."""

    prices: dict = {}
    whose = "bench"

    async def local(self, model, messages, **_how) -> AsyncIterator:
        from minions.flow import LocalPiece
        from serving.shapes import Usage

        for word in WORDS:
            yield LocalPiece(word)
        yield LocalPiece("", "stop", Usage(10, 5))

    async def look_up(self, _question, _stage):
        from minions.flow import Found

        return Found("Six passages.", [{"number": 1, "name": "A document", "text": "Six passages."}])

    async def open_provider(self, _link) -> Outside:
        return Outside()

    def note_local(self, stage) -> None:
        """Nothing has a price here."""
