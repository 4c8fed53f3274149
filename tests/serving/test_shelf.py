"""What stays in memory and what goes, without a server around it."""

import pytest

from serving.protocol import ApiError, ChatRequest
from tests.serving.tiny import make_base

ASK = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def shelf(tiny):
    from serving.embedded.shelf import Shelf

    shelf = Shelf()
    shelf.load_base("tiny", tiny["base"])
    return shelf


def names(shelf):
    return [card["id"] for card in shelf.cards()]


def advance(answer):
    """One step of everything on its base → its own piece, None while its prompt is still read."""
    piece = dict(answer.base.batch.step()).get(answer)
    if isinstance(piece, Exception):
        raise piece
    return piece


def write(shelf, model, tokens=12):
    answer = shelf.open_answer(ChatRequest(model=model, messages=ASK, temperature=0, max_tokens=tokens))
    text = ""
    while True:
        piece = advance(answer)
        text += piece.text if piece else ""
        if piece and piece.end:
            answer.close()
            return text


def test_a_third_base_takes_the_place_of_the_longest_unused(shelf, tmp_path):
    for seed, name in enumerate(("b", "c"), start=1):
        shelf.load_base(name, make_base(tmp_path / name, seed=seed))
    assert names(shelf) == ["b", "c"]


def test_a_base_that_answers_is_not_dropped(shelf, tmp_path):
    answer = shelf.open_answer(ChatRequest(model="tiny", messages=ASK))
    for seed, name in enumerate(("b", "c"), start=1):
        shelf.load_base(name, make_base(tmp_path / name, seed=seed))
    assert names(shelf) == ["tiny", "c"]
    answer.close()


def test_too_large_a_model_is_refused_with_numbers(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.embedded.shelf._free_bytes", lambda: 10_000_000)
    with pytest.raises(ApiError) as caught:
        shelf.load_base("b", make_base(tmp_path / "b"))
    assert caught.value.status == 503
    assert "10 MB are free" in caught.value.message


def test_the_longest_unused_adapter_makes_room(shelf, tiny, monkeypatch):
    monkeypatch.setattr("serving.embedded.shelf.MAX_ADAPTERS", 2)
    shelf.load_adapter("one", tiny["one"], "tiny")
    shelf.load_adapter("two", tiny["two"], "tiny")
    first = write(shelf, "one")
    shelf.load_adapter("again", tiny["two"], "tiny")
    assert sorted(names(shelf)) == ["again", "one", "tiny"]
    assert write(shelf, "one") == first


def test_an_adapter_unloaded_in_mid_answer_finishes_it(shelf, tiny):
    shelf.load_adapter("one", tiny["one"], "tiny")
    base, whole = write(shelf, "tiny"), write(shelf, "one")
    answer = shelf.open_answer(ChatRequest(model="one", messages=ASK, temperature=0, max_tokens=12))
    text = advance(answer).text
    shelf.unload_adapter("one")
    with pytest.raises(ApiError):
        shelf.open_answer(ChatRequest(model="one", messages=ASK))
    while (piece := advance(answer)).end is None:
        text += piece.text
    answer.close()
    assert text + piece.text == whole
    assert write(shelf, "tiny") == base
    shelf.load_adapter("one", tiny["one"], "tiny")
    assert write(shelf, "one") == whole


def test_a_long_prompt_read_in_pieces_gives_the_same_answer(shelf, monkeypatch):
    whole = write(shelf, "tiny")
    monkeypatch.setattr("serving.embedded.batch.PROMPT_PIECE", 7)
    assert write(shelf, "tiny") == whole
