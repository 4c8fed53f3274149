"""What `bench.minions` measures with rows: a fresh SQLite, a real key that is opened, the ledger, our own manuals.

Outside models answer at once or fail at once, in this process.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from django.core.management import call_command

from bench.figures import figure
from bench.minions import MESSAGES, ROUNDS, WARM_UP, Outside, recipe
from bench.people import percentile
from tests.stack import ROOT

MANUALS = (
    "training.md",
    "datasets.md",
    "minions.md",
    "operations.md",
    "knowledge.md",
    "providers.md",
    "deploy.md",
)


def figures() -> list[dict]:
    call_command("migrate", verbosity=0)
    from accounts.models import User
    from providers.services import create_key

    owner = User.objects.create_user("bench", password="x")
    key = create_key(owner=owner, provider="openai", name="bench", key="sk-bench-0123456789abcdef")
    return [
        *asyncio.run(with_loop(switching(owner, str(key.pk)))),
        *whole_questions(owner),
        *looking_up(owner),
        ledger_lines(owner),
    ]


async def with_loop(measuring):
    from django.core.cache import cache

    try:
        return await measuring
    finally:
        await cache.aclose()


# --- Switching ---------------------------------------------------------------------------------------------------
class Failing:
    """Has trouble at once, and knows when."""

    at = 0.0

    async def stream(self, _call) -> AsyncIterator:
        from providers.base import Failure, ProviderFailed

        self.at = time.perf_counter()
        raise ProviderFailed("Overloaded.", kind=Failure.OVERLOAD, provider="openai")
        yield


class Next(Outside):
    """Answers at once, and knows when it was asked."""

    at = 0.0

    async def stream(self, call) -> AsyncIterator:
        self.at = time.perf_counter()
        async for piece in super().stream(call):
            yield piece


async def switching(owner, key: str) -> list[dict]:
    """From the failure of the first to the question at the second: what failed is written down for all processes, the
    state of the chain is read, the next is chosen, its key opened."""
    from minions.flow import Question
    from minions.means import HouseMeans
    from minions.pipeline import Pipeline
    from minions.recipes import Link

    class Means(HouseMeans):
        async def open_provider(self, link):
            await super().open_provider(link)
            return first if link.model.startswith("first") else second

    times = []
    for number in range(ROUNDS + WARM_UP):
        first, second = Failing(), Next()
        # Each round another name: one that failed three times would be left alone.
        chain = [Link("openai", f"{place}-{number}", key=key, retries=0) for place in ("first", "second")]
        wanted = recipe(mode="provider_only", chain=tuple(chain))
        pipeline = Pipeline(wanted, Question(messages=MESSAGES), Means(owner, wanted, {}))
        async for _event in pipeline.run():
            continue
        assert pipeline.trace.model == f"second-{number}"
        times.append((second.at - first.at) * 1000)
    found = times[WARM_UP:]
    return [
        figure(f"router: from a failure to the next one's question, p{per_cent}", percentile(found, per_cent), "ms",
               "nothing of the kind", None)
        for per_cent in (50, 99)
    ]  # fmt: skip


# --- A whole question ----------------------------------------------------------------------------------------------
def whole_questions(owner) -> list[dict]:
    """From the question to the end of what is written down: rows read, version, key, answer, ledger, trace."""
    from minions import answering
    from minions.answering import Asked
    from minions.flow import Question
    from minions.means import HouseMeans
    from minions.services import create_minion

    class Means(HouseMeans):
        async def open_provider(self, link):
            await super().open_provider(link)
            return Outside()

    chain = [{"provider": "openai", "model": "gpt-4o-mini"}]
    minion = create_minion(
        owner=owner, name="Bench", persona="You are brief.", chain=chain, requests_per_minute=100_000
    )
    usual, answering.HouseMeans = answering.HouseMeans, Means
    try:

        async def run() -> list[float]:
            times = []
            for _ in range(ROUNDS + WARM_UP):
                begun = time.perf_counter()
                asked = Asked(minion_id=minion.pk, question=Question(messages=MESSAGES), source="api")
                under_way = await answering.begin(asked)
                async with aclosing(under_way.events()) as events:
                    async for _event in events:
                        continue
                times.append((time.perf_counter() - begun) * 1000)
            return times[WARM_UP:]

        times = asyncio.run(with_loop(run()))
    finally:
        answering.HouseMeans = usual
    name = "a whole question with its rows, ledger line and trace"
    return [
        figure(f"{name}, p{per_cent}", percentile(times, per_cent), "ms", "nothing of the kind", None)
        for per_cent in (50, 99)
    ]


# --- Looking up ----------------------------------------------------------------------------------------------------
def looking_up(owner) -> list[dict]:
    """A minion's look-up by words in our own manuals, beside the search alone."""
    from celery import current_app

    from apex.common import files
    from knowledge import execution, services
    from knowledge.retrieval import search
    from minions.means import HouseMeans
    from minions.tracing import Stage

    current_app.send_task = lambda *words, **more: None
    base = services.create_base(owner=owner, name="Manuals", embedding="words")
    for name in MANUALS:
        stored = files.put_file(ROOT / "docs" / name)
        execution.execute_document(str(services.add_file(base=base, name=name, stored=stored).pk))
    base.refresh_from_db()
    question = "How long is a provider left alone after it failed?"
    wanted = recipe(mode="rag_only", knowledge_bases=(str(base.pk),))

    async def run() -> tuple[list[float], list[float]]:
        from apex.common.async_database import in_database

        means, ours, theirs = HouseMeans(owner, wanted, {}), [], []
        for _ in range(ROUNDS + WARM_UP):
            begun = time.perf_counter()
            found = await means.look_up(question, Stage("knowledge"))
            ours.append((time.perf_counter() - begun) * 1000)
            assert found.passages
            begun = time.perf_counter()
            await in_database(search, [base], question, wanted.passages)
            theirs.append((time.perf_counter() - begun) * 1000)
        return ours[WARM_UP:], theirs[WARM_UP:]

    ours, theirs = asyncio.run(run())
    name = f"looking up in {base.active_index.chunk_count} pieces, by words"
    return [
        figure(f"{name}, p{per_cent}", percentile(ours, per_cent), "ms", "the search alone",
               percentile(theirs, per_cent))
        for per_cent in (50, 99)
    ]  # fmt: skip


# --- The ledger ------------------------------------------------------------------------------------------------------
def ledger_lines(owner) -> dict:
    from bench.ledger_work import many_lines, many_rows, rate

    ours, theirs = (rate(lambda act=act: act(owner)) for act in (many_lines, many_rows))
    return figure(
        "ledger: lines in batches of 500, SQLite", ours, "/s", "Django's models, the plain way", theirs
    )
