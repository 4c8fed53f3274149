"""Events and lines, wherever the network cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sse import LONGEST_EVENT, Event, Events, Lines, TooLong

STREAM = (
    "\ufeffevent: first\ndata: Grüße 🌊\n\n: a comment\r\n\r\n"
    "data: two\r\ndata:lines\r\n\r\nid: 7\nretry: 10\n\nevent: no data\n\ndata: by CR\r\rdata: [DONE]\n\n"
).encode()
EVENTS = [Event("first", "Grüße 🌊"), Event("", "two\nlines"), Event("", "by CR"), Event("", "[DONE]")]


def read(blocks: list[bytes]) -> list[Event]:
    events = Events()
    found = [event for block in blocks for event in events.feed(block)]
    return found + events.end()


def test_every_cut_in_two_gives_the_same_events():
    for place in range(len(STREAM) + 1):
        assert read([STREAM[:place], STREAM[place:]]) == EVENTS, place


def test_byte_by_byte_gives_the_same_events():
    assert read([bytes([byte]) for byte in STREAM]) == EVENTS


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_any_cuts_give_the_same_events(places):
    cuts = [0, *sorted(places), len(STREAM)]
    assert read([STREAM[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]) == EVENTS


def test_an_event_without_its_last_empty_line_counts():
    assert read([b"data: a\n\ndata: b"]) == [Event("", "a"), Event("", "b")]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20), max_size=8),
    st.data(),
)
def test_lines_are_those_of_the_whole(texts, data):
    whole = "".join(f"{text}\n" for text in texts).encode()
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6))), len(whole)]
    lines = Lines()
    found = [line for a, b in zip(cuts, cuts[1:], strict=False) for line in lines.feed(whole[a:b])]
    assert [line.decode() for line in found + lines.end()] == texts


@pytest.mark.parametrize("reader", [Lines, Events])
def test_what_does_not_end_is_given_up(reader):
    made = reader()
    with pytest.raises(TooLong):
        for _ in range(LONGEST_EVENT // 2**20 + 2):
            made.feed(b"data: " + b"x" * 2**20)


def test_an_event_of_endless_lines_is_given_up():
    events = Events()
    with pytest.raises(TooLong):
        for _ in range(LONGEST_EVENT // 2**20 + 2):
            events.feed(b"data: " + b"x" * 2**20 + b"\n")
