"""Writing down what was used gives way to answers, unless too much of it waits."""

import os
import sys
import threading

import pytest
from asgiref.sync import sync_to_async

from gateway.hot import recording
from gateway.hot.relay import Renaming, Stream, Used, usage_of
from ledger.models import Counter, UsageLine
from ledger.money import Amount
from ledger.services import set_budget
from serving import books


@pytest.fixture
def written(monkeypatch):
    """How nice the thread was that wrote, and how many rows, write by write."""
    seen: list[tuple[int, int]] = []

    def create(rows):
        seen.append((os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), len(rows)))

    monkeypatch.setattr(recording, "_create", create)
    monkeypatch.setattr(recording, "AT_ONCE", 2)
    monkeypatch.setattr(recording, "MANY", 4)
    return seen


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of a thread is Linux's")
async def test_few_rows_are_written_by_a_nice_thread_and_many_by_one_like_the_others(written):
    recorder = recording.Recorder()
    for number in range(7):
        recorder.note(number, None)
    await recorder.close()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert [count for _, count in written] == [2, 2, 2, 1]
    assert [nice > own for nice, _ in written] == [False, False, True, True]


@pytest.mark.parametrize("count", [-5, 2**63, 10**30])
def test_a_count_that_cannot_be_is_no_count(count):
    """Less than nothing would give a budget back what was used, and no table keeps a number without end."""
    told = b'{"usage": {"prompt_tokens": %d, "completion_tokens": 1}, "choices": []}' % count
    assert usage_of(told) == Used()
    stream = Stream(Renaming("a", "a"), keeps_usage=False)
    stream.push(b"data: " + told + b"\n\n")
    stream.finish()
    assert not stream.used.is_counted


@pytest.mark.django_db(transaction=True)
async def test_a_row_that_cannot_be_kept_holds_up_no_other(alice):
    await sync_to_async(set_budget)(owner=alice, limit=100, measure="tokens")
    recorder = recording.Recorder()
    for tokens in (1, 2**70, 2, -3, 4):
        held = await sync_to_async(books.hold)(alice, Amount(tokens=10), what="x")
        recorder.note(books.line(alice.pk, "chat", status=200, input_tokens=tokens), held)
    await recorder.close()
    assert sorted([line.input_tokens async for line in UsageLine.objects.all()]) == [1, 2, 4]
    counter = await Counter.objects.aget()
    assert (counter.spent, counter.reserved) == (7, 0)
