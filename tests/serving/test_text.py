"""Characters that take several tokens, and stop strings that come in pieces."""

import pytest

from serving.embedded.text import TextStream


def decode(ids):
    """A tokenizer whose tokens are bytes."""
    return bytes(ids).decode("utf-8", errors="replace")


def pieces(text: str | bytes, stop=()):
    stream = TextStream(decode, stop)
    data = text.encode() if isinstance(text, str) else text
    return [stream.push(byte) for byte in data] + [stream.finish()]


def test_a_character_of_several_tokens_comes_whole():
    given = pieces("aé漢🎈!")
    assert "".join(given) == "aé漢🎈!"
    assert not any("\ufffd" in piece for piece in given)


def test_bytes_that_are_no_character_come_at_the_end_at_the_latest():
    assert "".join(pieces(b"ok\xf0\x9f")) == "ok\ufffd"
    assert "".join(pieces(b"\xff" * 20)) == "\ufffd" * 20


@pytest.mark.parametrize("stop", ["END", "\n\n", "é!"])
def test_a_stop_string_in_pieces_never_shows(stop):
    assert "".join(pieces(f"some text{stop}more", [stop])) == "some text"


def test_what_looks_like_a_stop_string_is_given_when_it_is_none():
    given = pieces("ENTER EN", ["END"])
    assert "".join(given) == "ENTER EN"
    assert given[0] == given[1] == ""


def test_the_first_of_several_stop_strings_counts():
    assert "".join(pieces("one two three", ["three", "two"])) == "one "
