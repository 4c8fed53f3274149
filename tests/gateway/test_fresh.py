"""What is known of tokens and models is never older than it may be, however it is looked up."""

import asyncio

import pytest

from gateway.hot.fresh import Fresh


class Source:
    """Counts up at each look; its clock moves only when told to, also in the middle of a look."""

    def __init__(self):
        self.looks: list[list[str]] = []
        self.now, self.takes, self.problem, self.missing = 0.0, 0.0, None, False
        self.gate = asyncio.Event()
        self.gate.set()

    def fresh(self, **options) -> Fresh:
        return Fresh(self.load, clock=lambda: self.now, **options)

    async def load(self, keys):
        self.looks.append(sorted(keys))
        number = len(self.looks)
        await self.gate.wait()
        self.now += self.takes
        if self.problem:
            raise self.problem
        return {} if self.missing else {key: f"{key}{number}" for key in keys}


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_value_is_looked_up_once_and_kept():
    fresh = Source().fresh(soft=10, hard=20)
    assert [await fresh.get("a") for _ in range(5)] == ["a1"] * 5
    assert fresh.peek("a") == "a1" and fresh.peek("b") is None


async def test_keys_of_the_same_moment_are_looked_up_together_or_one_by_one():
    together, apart = Source(), Source()
    for source, one_by_one in ((together, False), (apart, True)):
        fresh = source.fresh(soft=10, hard=20, one_by_one=one_by_one)
        await asyncio.gather(*(fresh.get(key) for key in "abca"))
    assert together.looks == [["a", "b", "c"]]
    assert apart.looks == [["a"], ["b"], ["c"]]


async def test_a_soft_value_is_renewed_beside_the_request():
    source = Source()
    fresh = source.fresh(soft=1, hard=10)
    await fresh.get("a")
    source.now = 2
    assert fresh.peek("a") == "a1"
    await settle()
    assert fresh.peek("a") == "a2"


async def test_a_hard_value_is_not_used_and_its_age_counts_from_before_the_look():
    source = Source()
    fresh = source.fresh(soft=1, hard=2)
    await fresh.get("a")
    source.now, source.takes = 3, 5
    assert fresh.peek("a") is None
    await settle()
    assert fresh.peek("a") is None  # the look took five seconds: what it saw is too old already
    source.takes = 0
    await settle()
    assert await fresh.get("a") == "a3"


async def test_what_is_gone_is_gone():
    source = Source()
    fresh = source.fresh(soft=1, hard=10)
    await fresh.get("a")
    source.missing, source.now = True, 2
    fresh.peek("a")
    await settle()
    assert await fresh.get("a") is None


async def test_while_the_source_is_away_a_value_holds_until_it_is_too_old():
    source = Source()
    fresh = source.fresh(soft=1, hard=10)
    await fresh.get("a")
    source.problem, source.now = OSError("away"), 2
    assert fresh.peek("a") == "a1"
    await settle()
    assert fresh.peek("a") == "a1"
    source.now = 11
    with pytest.raises(OSError):
        await fresh.get("a")
    source.problem = None
    await settle()
    assert (await fresh.get("a")).startswith("a")


async def test_after_a_drop_a_look_that_had_begun_before_does_not_count():
    source = Source()
    fresh = source.fresh(soft=1, hard=10)
    await fresh.get("a")
    source.gate.clear()
    source.now = 2
    fresh.peek("a")
    await settle()  # the second look is under way
    fresh.drop("a")
    asked = asyncio.create_task(fresh.get("a"))
    await settle()
    source.gate.set()
    assert await asked == "a3"


async def test_one_that_gives_up_does_not_end_the_look_of_the_others():
    source = Source()
    source.gate.clear()
    fresh = source.fresh(soft=10, hard=20)
    first, second = asyncio.create_task(fresh.get("a")), asyncio.create_task(fresh.get("a"))
    await settle()
    first.cancel()
    await settle()
    source.gate.set()
    assert await second == "a1"


async def test_only_so_many_are_kept():
    fresh = Source().fresh(soft=10, hard=20, most=2)
    for key in "abc":
        await fresh.get(key)
    assert [fresh.peek(key) is not None for key in "abc"] == [False, True, True]
