"""Pieces: none too long, nothing lost, whole sentences, and each knows where it stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.chunking import pieces
from knowledge.parsing import Parsed
from knowledge.parsing.base import Block, joined


def cut(*blocks: Block, size: int = 200, overlap: int = 0):
    parsed = joined("text", blocks)
    return parsed, list(pieces(parsed, size, overlap))


def test_pieces_end_where_sentences_do():
    sentence = "The harbour master opens the gate at six."
    _parsed, found = cut(Block(" ".join([sentence] * 12)))
    assert len(found) == 3 and all(
        piece.text.startswith("The") and piece.text.endswith("six.") for piece in found
    )


def test_neighbours_share_whole_sentences():
    text = " ".join(f"Sentence number {number} is here." for number in range(30))
    _parsed, found = cut(Block(text), overlap=60)
    for before, after in zip(found, found[1:], strict=False):
        assert 0 < before.end - after.start <= 60 and after.start > before.start


def test_a_piece_begins_anew_below_a_heading_and_knows_it():
    blocks = [
        Block("Gate", heading=1),
        Block("Opens at six. " * 8),
        Block("Boats", heading=1),
        Block("Leave at noon."),
    ]
    _parsed, found = cut(*blocks)
    assert [piece.heading for piece in found] == ["Gate", "Boats"]
    assert found[1].text.startswith("Boats")


def test_what_is_searched_says_what_the_piece_is_about():
    days = [Block(f"Day {day}: from six to nine in the evening.") for day in range(20)]
    _parsed, found = cut(Block("Opening hours", heading=1), *days)
    assert not found[-1].text.startswith("Opening") and found[-1].searched.startswith("Opening hours\n")


def test_pages_stay_with_their_pieces():
    _parsed, found = cut(*[Block(f"Page {page} speaks of boats. " * 7, place=page) for page in range(1, 4)])
    assert [piece.place for piece in found] == [1, 2, 3]


def test_a_word_without_end_is_cut():
    _parsed, found = cut(Block("x" * 1000))
    assert [len(piece.text) for piece in found] == [200] * 5


@pytest.mark.parametrize(("size", "overlap"), [(10, 0), (9000, 0), (200, 150), (200, -1)])
def test_sizes_that_make_no_sense_are_refused(size, overlap):
    with pytest.raises(ValueError, match="size"):
        list(pieces(Parsed("text", "x"), size, overlap))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab .\n。é", max_size=400), max_size=6),
    st.integers(200, 400),
    st.integers(0, 100),
)
def test_nothing_is_lost_and_nothing_is_too_long(texts, size, overlap):
    parsed, found = cut(*[Block(text) for text in texts], size=size, overlap=overlap)
    covered = set()
    for piece in found:
        assert 0 < len(piece.text) <= size and piece.text == parsed.text[piece.start : piece.end]
        covered |= set(range(piece.start, piece.end))
    lost = "".join(letter for place, letter in enumerate(parsed.text) if place not in covered)
    assert not lost.strip()
