"""What is known of tokens and models is never older than it may be, however it is looked up."""

import asyncio

import pytest

from gateway.hot.fresh import Fresh


class Source:
    """Counts up at each look; may be slow, broken, or have nothing."""

    def __init__(self):
        self.looks: list[list[str]] = []
        self.pause, self.problem, self.missing = 0.0, None, False

    async def load(self, keys):
        self.looks.append(sorted(keys))
        number = len(self.looks)
        await asyncio.sleep(self.pause)
        if self.problem:
            raise self.problem
        return {} if self.missing else {key: f"{key}{number}" for key in keys}


async def test_a_value_is_looked_up_once_and_kept():
    source = Source()
    fresh = Fresh(source.load, soft=10, hard=20)
    assert [await fresh.get("a") for _ in range(5)] == ["a1"] * 5
    assert fresh.peek("a") == "a1" and fresh.peek("b") is None


async def test_keys_of_the_same_moment_are_looked_up_together_or_one_by_one():
    together, apart = Source(), Source()
    for source, one_by_one in ((together, False), (apart, True)):
        fresh = Fresh(source.load, soft=10, hard=20, one_by_one=one_by_one)
        await asyncio.gather(*(fresh.get(key) for key in "abca"))
    assert together.looks == [["a", "b", "c"]]
    assert apart.looks == [["a"], ["b"], ["c"]]


async def test_a_soft_value_is_renewed_beside_the_request():
    source = Source()
    fresh = Fresh(source.load, soft=0.02, hard=10)
    await fresh.get("a")
    await asyncio.sleep(0.03)
    assert fresh.peek("a") == "a1"
    await asyncio.sleep(0.01)
    assert fresh.peek("a") == "a2"


async def test_a_hard_value_is_not_used_while_the_look_up_is_slow():
    source = Source()
    fresh = Fresh(source.load, soft=0.02, hard=0.05)
    await fresh.get("a")
    source.pause = 0.1
    await asyncio.sleep(0.06)
    assert fresh.peek("a") is None
    assert await fresh.get("a") == "a2"
    # Its age counts from before the look: after a slow one it is too old already.
    assert fresh.peek("a") is None


async def test_what_is_gone_is_gone():
    source = Source()
    fresh = Fresh(source.load, soft=0.01, hard=10)
    await fresh.get("a")
    source.missing = True
    await asyncio.sleep(0.02)
    fresh.peek("a")
    await asyncio.sleep(0.02)
    assert await fresh.get("a") is None


async def test_while_the_source_is_away_a_value_holds_until_it_is_too_old():
    source = Source()
    fresh = Fresh(source.load, soft=0.01, hard=0.1)
    await fresh.get("a")
    source.problem = OSError("away")
    await asyncio.sleep(0.02)
    assert fresh.peek("a") == "a1"
    await asyncio.sleep(0.02)
    assert fresh.peek("a") == "a1"
    await asyncio.sleep(0.1)
    with pytest.raises(OSError):
        await fresh.get("a")
    source.problem = None
    assert (await fresh.get("a")).startswith("a")


async def test_after_a_drop_a_look_that_had_begun_before_does_not_count():
    source = Source()
    fresh = Fresh(source.load, soft=0.01, hard=10)
    await fresh.get("a")
    source.pause = 0.03
    await asyncio.sleep(0.02)
    fresh.peek("a")
    await asyncio.sleep(0.01)  # the second look is under way
    fresh.drop("a")
    assert await fresh.get("a") == "a3"


async def test_one_that_gives_up_does_not_end_the_look_of_the_others():
    source = Source()
    source.pause = 0.03
    fresh = Fresh(source.load, soft=10, hard=20)
    first = asyncio.create_task(fresh.get("a"))
    second = asyncio.create_task(fresh.get("a"))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "a1"


async def test_only_so_many_are_kept():
    source = Source()
    fresh = Fresh(source.load, soft=10, hard=20, most=2)
    for key in "abc":
        await fresh.get(key)
    assert [fresh.peek(key) is not None for key in "abc"] == [False, True, True]
