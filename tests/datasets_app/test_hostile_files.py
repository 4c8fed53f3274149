"""Files that are made to cost time or memory: each is read in a moment, and in little of it."""

import json
import resource
import sys
import time

import pytest

from datasets_app.reading import check_file

MOMENT = 15  # seconds, on a machine that is busy; what grows with the square of the size takes minutes


def chat(question: str) -> str:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]
    return json.dumps({"messages": messages}) + "\n"


# One text of a row, of some 600 KB, by what it is full of.
TEXTS = {
    "addresses": "a@bc.co ",
    "numbers of cards": "4111 1111 1111 1111 , ",
    "beginnings of a token": "eyJ-",
    "parts of a token": "eyJaaaaaaaaaaaa.",
    "beginnings of a key": "-----BEGIN PRIVATE KEY-----",
    "digits": "1 (",
}


@pytest.mark.parametrize("unit", TEXTS.values(), ids=TEXTS)
def test_a_text_full_of_what_may_be_private_is_checked_in_a_moment(tmp_path, unit):
    file = tmp_path / "chats.jsonl"
    file.write_text(chat("Hello") + chat(unit * (600_000 // len(unit))))
    began = time.monotonic()
    report = check_file(file)
    assert time.monotonic() - began < MOMENT
    assert report.rows == 2


FILES = {
    "questions without answers": ("talk.txt", "Q: Who?\nA: Me.\n\n", "Q:\n\n"),
    "a quotation mark that is never closed": ("talk.csv", 'question,answer\n"', "\n"),
    "broken quotation marks": ("talk.csv", "question,answer\n", '"a" b,c\n'),
}


@pytest.mark.parametrize("name, start, unit", FILES.values(), ids=FILES)
def test_the_same_fault_over_and_over_is_read_in_a_moment(tmp_path, name, start, unit):
    file = tmp_path / name
    file.write_text(start + unit * (600_000 // len(unit)))
    began = time.monotonic()
    assert check_file(file).error_count
    assert time.monotonic() - began < MOMENT


def test_what_follows_a_quotation_mark_that_is_never_closed_is_read(tmp_path):
    file = tmp_path / "talk.csv"
    file.write_text('question,answer\n"' + "\n" * 150_000 + "Who?,Me.\n")
    report = check_file(file)
    assert report.rows == 1
    assert [error["line"] for error in report.errors] == [2]
    assert "quotation marks" in report.errors[0]["message"]


def test_a_talk_without_an_end_costs_itself_and_no_memory(tmp_path):
    file = tmp_path / "talk.txt"
    file.write_text(
        "Q: Who?\nA: Me.\n\nQ: And then?\nA: So\n" + "on\n" * 1_200_000 + "\nQ: Where?\nA: Here.\n"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = check_file(file)
    assert report.rows == 2
    assert [(error["line"], error["code"]) for error in report.errors] == [(4, "line_too_long")]
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_a_turn_of_nothing_but_spaces_costs_no_memory(tmp_path):
    file = tmp_path / "turns.jsonl"
    text = "<|im_start|>user\nHi<|im_end|>" + " " * 6_000_000 + "<|im_start|>assistant\nYes<|im_end|>"
    file.write_text((json.dumps({"text": text}) + "\n") * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check_file(file).rows == 2
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB
