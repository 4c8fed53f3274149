"""Writing down what was used gives way to answers, unless too much of it waits."""

import os
import sys
import threading

import pytest

from gateway.hot import recording
from gateway.hot.relay import Renaming, Stream, Used, usage_of


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
