"""A hundred questions at once to a minion whose budget is for ten, at a web process of its own that is then killed."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from urllib.parse import quote

import pytest
from aiohttp import web
from django.db import connection

from ledger import budgets
from ledger.models import Counter, Reservation, UsageLine
from ledger.services import set_budget
from minions.services import create_minion, make_token
from providers.models import PriceOverride
from providers.services import create_key
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, running
from tests.stack import ROOT, free_port

pytestmark = pytest.mark.django_db(transaction=True)
LEASE = 1.5  # seconds
ASKED = {"model": "Nora", "messages": [{"role": "user", "content": "Hello?"}]}
# By `booking.most`: 8 tokens in at $100 a million, 1000 out at $1000.
ONE = Decimal("1.0008")
TAKEN = Decimal("0.0119")  # the stand-in counts 19 tokens in and 10 out


class Held(FakeOpenAI):
    """Answers nobody before `open` is set; `under_way` are those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.under_way = 0

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        while not self.open.is_set():
            await asyncio.sleep(0.02)
        return await super()._chat(request)


@pytest.fixture
def upstream():
    with running(Held()) as fake:
        yield fake


@contextlib.contextmanager
def web_process(fake):
    """A uvicorn with this test's database, as `manage.py up` starts one; yields its process and port."""
    port, database = free_port(), connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = f"postgres://{database['USER']}@{quote(database['HOST'], safe='')}/{database['NAME']}"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "apex.settings.test", "DATABASE_URL": url, "APEX_BUDGET_LEASE_SECONDS": str(LEASE),
        "APEX_PROVIDER_URLS": f"openai={fake.url}/v1", "APEX_ALLOWED_HOSTS": "127.0.0.1", "APEX_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "apex.asgi:application", "--port", str(port), "--no-access-log",
               "--log-level", "warning"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while ask(port, "x", timeout=5)[0] != 401:
            assert process.poll() is None and time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def ask(port: int, token: str, timeout: float = 60) -> tuple[int, dict]:
    """`(status, body)`; status 0 where the connection was refused or broke off."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        client.request("POST", "/v1/chat/completions", json.dumps(ASKED), headers)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        client.close()


def until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def counted() -> tuple[Decimal, Decimal]:
    counter = Counter.objects.get()
    return Decimal(counter.spent) / 10**9, Decimal(counter.reserved) / 10**9


def test_a_hundred_at_once_get_what_is_there_for_ten_and_a_kill_leaves_nothing_held(
    alice, upstream, settings
):
    create_key(owner=alice, provider="openai", key=KEY)
    PriceOverride.objects.create(provider="openai", model="*", input_price=100, output_price=1000)
    minion = create_minion(
        owner=alice, name="Nora", answer_tokens=1000, requests_per_minute=0,
        chain=[{"provider": "openai", "model": "gpt-4o-mini", "retries": 0}],
    )  # fmt: skip
    _token, text = make_token(minion=minion)
    set_budget(owner=alice, limit=ONE * 10, scope="minion", minion_id=minion.pk, name="Nora")
    with web_process(upstream) as (process, port), ThreadPoolExecutor(100) as crowd:
        # 1. All hold, or are refused, before any of them is answered.
        asked = [crowd.submit(ask, port, text) for _ in range(100)]
        until(lambda: sum(one.done() for one in asked) >= 90 and upstream.under_way >= 10, "ninety refusals")
        refused = [one.result() for one in asked if one.done()]
        assert len(refused) == 90 and upstream.under_way == 10
        for status, body in refused:
            assert (status, body["error"]["code"]) == (429, "insufficient_quota")
            said = body["error"]["message"]
            assert said.startswith(
                "Nora has nothing of $10.01 left this month; this could cost up to $1.00."
            ), said
        assert counted() == (0, ONE * 10)
        # They are still under way, so that what they hold stays held for longer than its first lease.
        first = Reservation.objects.latest("expires_at").expires_at
        until(
            lambda: not Reservation.objects.filter(expires_at__lte=first).exists(), "the lease to be renewed"
        )
        assert budgets.release_expired() == 0 and counted() == (0, ONE * 10)
        upstream.open.set()
        assert sorted(one.result()[0] for one in asked) == [200] * 10 + [429] * 90
        until(lambda: not Reservation.objects.exists(), "what was held is settled")
        assert counted() == (TAKEN * 10, 0)
        assert UsageLine.objects.filter(minion_id=minion.pk).count() == 10

        # 2. The process is killed while it answers. Nobody is there to give back what it held.
        upstream.open.clear()
        asked = [crowd.submit(ask, port, text) for _ in range(20)]
        until(lambda: upstream.under_way == 19 and sum(one.done() for one in asked) == 11, "nine more")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert {one.result()[0] for one in asked} == {0, 429}
        upstream.open.set()
        assert counted() == (TAKEN * 10, ONE * 9)
        until(lambda: budgets.release_expired() and not Reservation.objects.exists(), "the lease to end", 10)
        assert counted() == (TAKEN * 10, 0)

    # 3. The whole of it is there again, and is used up to its end: over by no more than what the last one took.
    set_budget(owner=alice, limit=ONE + TAKEN * 13, scope="minion", minion_id=minion.pk, name="Nora")
    with web_process(upstream) as (_process, port):
        statuses = [ask(port, text)[0] for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert counted() == (TAKEN * 14, 0)
