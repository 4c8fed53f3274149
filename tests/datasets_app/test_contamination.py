"""Known test questions are found by how they begin."""

import pytest

from datasets_app.checking.contamination import Contamination, beginnings, fingerprint, known_items

# The first question of HumanEval begins with these words, which is all that is needed.
HUMAN_EVAL_0 = (
    "from typing import List\n\n\n"
    "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n    …"
)


def row(text, role="user"):
    return {"messages": [{"role": role, "content": text}, {"role": "assistant", "content": "ok"}], "line": 7}


@pytest.mark.parametrize(
    "text",
    [
        HUMAN_EVAL_0,
        "Complete this function:\n\n" + HUMAN_EVAL_0,
        "Complete this:\n" + HUMAN_EVAL_0.replace("from typing import List\n\n\n", ""),
        HUMAN_EVAL_0.upper(),
        HUMAN_EVAL_0.replace(" ", "  ").replace("\n", "\r\n"),
    ],
)
def test_a_known_question_is_named(text):
    check = Contamination()
    (fault,) = check.see(row(text), "chat")
    assert (fault.line, fault.code, fault.severity) == (7, "benchmark_item", "warning")
    assert "item 0 of the test HumanEval" in fault.problem
    assert check.summary() == {"benchmark_items": {"HumanEval": 1}}


@pytest.mark.parametrize(
    "text", ["", "Hi", "from typing import List", "\n" * 9, "é" * 200, "What is LoRA? " * 20]
)
def test_other_questions_pass(text):
    check = Contamination()
    assert list(check.see(row(text), "chat")) == []
    assert check.summary() == {}


def test_an_answer_may_quote_a_question():
    assert list(Contamination().see(row(HUMAN_EVAL_0, "assistant"), "chat")) == []


def test_each_start_of_a_line_begins_anew():
    text = "ab c\n\n" + "x" * 47 + "-Y\n"
    assert list(beginnings(text)) == [b"abc" + b"x" * 45, b"x" * 47 + b"y"]


def test_the_fingerprint_is_what_a_scanner_computes_word_by_word():
    beginning = b"fromtypingimportlistdefhascloseelementsnumbersli"
    number = 0
    for at in range(0, 48, 8):
        number = (number * 2**64 + int.from_bytes(beginning[at : at + 8], "big")) % (2**61 - 1)
    assert fingerprint(beginning) == number


def test_the_list_holds_fingerprints_of_four_tests_and_more():
    tests = {benchmark for benchmark, _ in known_items().values()}
    assert {"HumanEval", "GSM8K test", "MT-Bench"} <= tests
    assert len(known_items()) > 1500
