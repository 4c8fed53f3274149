"""Which server answers, what happens when it is away, and that answers under way are counted."""

import asyncio

import pytest

from serving import in_flight
from serving.backends.base import BackendUnavailable, Delta, Place, Reply, Target, Wire
from serving.protocol import PLAIN_CHAT, ApiError, ChatRequest
from serving.routing import RoutedBackend, Router

ONE, TWO, THREE = (
    Place(node=name, backend="vllm", address=f"http://{name}") for name in ("one", "two", "three")
)
REQUEST = ChatRequest(model="a1-v1", messages=[{"role": "user", "content": "Hello"}])


def target(*places) -> Target:
    return Target("ft:x", "base", "/base", places=places, deployment="a1-v1")


class Scripted:
    """A server that does what its script says: answer, be away, or break off after a word."""

    abilities = PLAIN_CHAT

    def __init__(self, place: Place, script: dict[str, str], asked: list[str]):
        self.place, self.does, self.asked = place, script.get(place.node, "answers"), asked

    async def stream_chat(self, target, request):
        self.asked.append(self.place.node)
        if self.does == "away":
            raise BackendUnavailable("nobody")
        if self.does == "refuses":
            raise ApiError("no")
        yield Delta(self.place.node)
        if self.does == "breaks":
            raise BackendUnavailable("gone")
        yield Delta("", "stop")

    def wire(self):
        return Wire(self.place.address)

    async def forward(self, path, body):
        self.asked.append(self.place.node)
        if self.does == "away":
            raise BackendUnavailable("nobody")

        async def chunks():
            yield self.place.node.encode()

        async def close():
            self.asked.append("closed")

        return Reply(200, "text/plain", {}, chunks(), close)


@pytest.fixture
def router():
    return Router(in_flight.InFlight(), clock=lambda: 0.0)


@pytest.fixture
def asked():
    return []


def routed(router, asked, *places, away=None, **script) -> RoutedBackend:
    return RoutedBackend(
        target(*places), lambda place: Scripted(place, script, asked), router=router, on_away=away
    )


async def text_of(backend) -> str:
    return "".join([delta.text async for delta in backend.stream_chat(target(), REQUEST)])


async def test_servers_take_turns(router, asked):
    for _ in range(6):
        await text_of(routed(router, asked, ONE, TWO, THREE))
    assert sorted(asked) == ["one"] * 2 + ["three"] * 2 + ["two"] * 2


async def test_the_least_busy_is_asked(router, asked):
    router.in_flight.begin("other", "one")
    router.in_flight.begin("other", "three")
    for _ in range(3):
        assert await text_of(routed(router, asked, ONE, TWO, THREE)) == "two"


async def test_another_takes_over_while_no_word_has_come(router, asked):
    told = []
    backend = routed(router, asked, ONE, TWO, away=told.append, one="away")
    for _ in range(4):
        assert await text_of(backend) == "two"
    # Once found away it is left alone for a while.
    assert asked.count("one") == 1 and told == [ONE]


async def test_what_has_begun_is_not_begun_again(router, asked):
    backend = routed(router, asked, ONE, TWO, one="breaks", two="breaks")
    with pytest.raises(BackendUnavailable):
        await text_of(backend)
    assert len(asked) == 1


async def test_a_refusal_is_an_answer(router, asked):
    with pytest.raises(ApiError, match="no"):
        await text_of(routed(router, asked, ONE, TWO, one="refuses", two="refuses"))
    assert len(asked) == 1


async def test_where_all_are_away_it_says_so(router, asked):
    with pytest.raises(BackendUnavailable):
        await text_of(routed(router, asked, ONE, TWO, one="away", two="away"))
    assert sorted(asked) == ["one", "two"]


async def test_an_answer_counts_from_its_beginning_to_its_end(router, asked):
    counted = router.in_flight
    stream = routed(router, asked, ONE).stream_chat(target(), REQUEST)
    await anext(stream)
    assert counted.by_node["one"] == counted.by_deployment["a1-v1"] == 1
    await stream.aclose()  # who asked has left
    assert not counted.by_node and not counted.by_deployment


async def test_whoever_goes_there_by_itself_takes_turns_is_counted_and_tells_of_who_is_away(router, asked):
    told = []
    backend = routed(router, asked, ONE, TWO, away=told.append)
    wires = [backend.wire() for _ in range(4)]
    assert sorted(wire.url for wire in wires) == ["http://one"] * 2 + ["http://two"] * 2
    with backend.under_way(wires[0]):
        assert dict(router.in_flight.by_node) == {wires[0].node: 1}
        assert router.in_flight.by_deployment["a1-v1"] == 1
        assert {backend.wire().node for _ in range(4)} == {"one", "two"} - {wires[0].node}
    assert not router.in_flight.by_node
    backend.note_away(wires[0])
    assert [place.node for place in told] == [wires[0].node]
    assert {backend.wire().node for _ in range(4)} == {"one", "two"} - {wires[0].node}


@pytest.mark.parametrize("how", ["read", "close", "both"])
async def test_what_is_passed_on_counts_until_it_is_closed(router, asked, how):
    backend, counted = routed(router, asked, ONE, TWO, one="away", two="answers"), router.in_flight
    reply = await backend.forward("/v1/chat/completions", {})
    assert dict(counted.by_node) == {"two": 1}
    if how != "close":
        assert await reply.read() == b"two"
    if how != "read":
        await reply.close()
    assert not counted.by_node and "closed" in asked


async def test_a_mark_stands_while_an_answer_is_under_way_and_goes_by_itself(monkeypatch):
    monkeypatch.setattr(in_flight, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(in_flight, "MARK_SECONDS", 0.1)
    counted = in_flight.InFlight()
    assert in_flight.is_answering("a2-v1") is False
    with counted.answering("a2-v1", "one"):
        await asyncio.sleep(0.4)
        assert in_flight.is_answering("a2-v1") is True
    await asyncio.sleep(0.4)
    assert in_flight.is_answering("a2-v1") is False


def test_a_cache_that_is_away_says_neither_yes_nor_no(monkeypatch):
    def away(*arguments):
        raise ConnectionError("away")

    monkeypatch.setattr(in_flight.cache, "get", away, raising=False)
    assert in_flight.is_answering("a3-v1") is None


def test_a_key_is_never_shown():
    assert "secret" not in repr(Place("n", "vllm", "http://x", key="secret"))
