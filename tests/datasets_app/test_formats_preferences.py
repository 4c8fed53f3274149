"""Answers that are compared, ranked or marked; and known shapes of which nothing can be learned."""

import json

import pytest

from datasets_app.formats import recognise
from datasets_app.formats.ranking import ANSWERS_MOST, order_of
from datasets_app.formats.unknown import unknown_row
from datasets_app.reading import check_file, read_examples
from tests.datasets_app.test_formats import ANSWER, CALL, TOOL, USER, fault_of

GOOD, BAD = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
SYSTEM = {"role": "system", "content": "S."}
HH = "\n\nHuman: Q?\n\nAssistant: "


def read(record):
    module = recognise(record)
    assert module is not None, record
    return module.NAME, module.to_examples(record)


# format, record, the prompt that becomes of it
COMPARED = [
    ("preference", {"prompt": "Q?", "chosen": "good", "rejected": "bad"}, [USER]),
    ("preference", {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, [USER]),
    ("preference", {"prompt": "Q?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]}, [USER]),
    ("preference", {"prompt": "Q?", "system": "S.", "chosen": "good", "rejected": "bad"}, [SYSTEM, USER]),
    ("preference", {"prompt": [SYSTEM, USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]}, [SYSTEM, USER]),
    ("preference", {"question": "Q?", "response_j": "good", "response_k": "bad"}, [USER]),
    ("preference", {"instruction": "Q?", "input": "", "chosen": "good", "rejected": "bad"}, [USER]),
    ("preference", {"instruction": "Q?", "input": "", "output": ["good", "bad"]}, [USER]),
    ("preference", {"conversations": [{"from": "human", "value": "Q?"}], "chosen": {"from": "gpt", "value": "good"},
                    "rejected": {"from": "gpt", "value": "bad"}}, [USER]),
    ("preference", {"prompt": [USER, ANSWER, USER], "chosen": "good", "rejected": "bad"}, [USER, ANSWER, USER]),
    ("preference-implicit", {"chosen": [USER, GOOD], "rejected": [USER, BAD]}, [USER]),
    ("preference-implicit", {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]}, [SYSTEM, USER]),
    ("preference-implicit", {"chosen": HH + "good", "rejected": HH + "bad"}, [USER]),
    ("preference-implicit", {"chosen": HH + "A.\n\nHuman: Q?\n\nAssistant: good",
                             "rejected": HH + "A.\n\nHuman: Q?\n\nAssistant: bad"}, [USER, ANSWER, USER]),
    ("preference-implicit", {"chosen": "Q? good", "rejected": "Q? bad"}, [USER]),
    ("openai-preference", {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
     [USER]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "record", "prompt"), COMPARED)
def test_each_shape_of_a_preference_is_read(name, record, prompt):
    found, (example,) = read(record)
    assert (found, example.kind) == (name, "preference")
    assert example.content == {"prompt": prompt, "chosen": [GOOD], "rejected": [BAD]}


def test_openai_s_tools_stand_beside_the_messages():
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    record = {
        "input": {"messages": [USER], "tools": [TOOL], "parallel_tool_calls": True},
        "preferred_output": [calls],
        "non_preferred_output": [BAD],
    }
    _, (example,) = read(record)
    assert example.content["tools"] == [TOOL]
    assert example.content["chosen"] == [{"role": "assistant", "content": "", "tool_calls": [CALL]}]


def test_answers_of_several_turns_are_compared_whole():
    _, (example,) = read({"chosen": [USER, GOOD, USER, ANSWER], "rejected": [USER, BAD]})
    assert example.content["chosen"] == [GOOD, USER, ANSWER]


@pytest.mark.parametrize(
    ("code", "record"),
    [
        ("equal_answers", {"prompt": "Q?", "chosen": "same", "rejected": " same "}),
        ("equal_answers", {"chosen": [USER, GOOD], "rejected": [USER, GOOD]}),
        ("equal_answers", {"chosen": "Q? same", "rejected": "Q? same"}),
        ("equal_answers", {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [GOOD]}),
        ("different_prompts", {"chosen": [USER, GOOD], "rejected": [{**USER, "content": "Other?"}, BAD]}),
        ("different_prompts", {"chosen": [USER, ANSWER, USER], "rejected": [USER, ANSWER, {**USER, "content": "x"}]}),
        ("different_prompts", {"chosen": HH + "good", "rejected": HH.replace("Q?", "R?") + "bad"}),
        ("different_prompts", {"chosen": "one thing", "rejected": "another"}),
        ("different_prompts", {"prompt": "Q?", "chosen": [{**USER, "content": "x"}, GOOD], "rejected": [USER, BAD]}),
        ("null_content", {"prompt": "Q?", "chosen": None, "rejected": "bad"}),
        ("empty_text", {"prompt": "Q?", "chosen": "good", "rejected": ""}),
        ("empty_text", {"prompt": "", "chosen": "good", "rejected": "bad"}),
        ("wrong_type", {"chosen": "good", "rejected": [USER, BAD]}),
        ("no_question", {"prompt": [SYSTEM], "chosen": [GOOD], "rejected": [BAD]}),
        ("role_order", {"prompt": [USER, ANSWER], "chosen": [GOOD], "rejected": [BAD]}),
        ("missing_field", {"preferred_output": [GOOD], "non_preferred_output": [BAD]}),
        ("wrong_type", {"input": "Q?", "preferred_output": [GOOD], "non_preferred_output": [BAD]}),
        ("no_messages", {"input": {"messages": [USER]}, "preferred_output": [], "non_preferred_output": [BAD]}),
        ("role_order", {"input": {"messages": [USER]}, "preferred_output": [USER], "non_preferred_output": [BAD]}),
    ],
)  # fmt: skip
def test_each_fault_of_a_preference_has_its_code(code, record):
    assert fault_of(record).code == code


# --- marks ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "label"),
    [(True, True), (False, False), (1, True), (0, False), ("True", True), ("false", False), ("0", False)],
)  # fmt: skip
def test_marks_are_read_in_every_usual_way(value, label):
    name, (example,) = read({"prompt": "Q?", "completion": "good", "label": value})
    assert (name, example.kind) == ("unpaired-preference", "unpaired")
    assert example.content == {"prompt": [USER], "completion": [GOOD], "label": label}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [USER, GOOD], "kto_tag": True},
        {
            "conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "good"}],
            "kto_tag": True,
        },
        {"instruction": "Q?", "input": "", "output": "good", "kto_tag": True},
        {"prompt": [USER], "completion": [GOOD], "label": True},
    ],
)
def test_every_shape_can_be_marked(record):
    name, (example,) = read(record)
    assert name == "unpaired-preference"
    assert example.content == {"prompt": [USER], "completion": [GOOD], "label": True}


@pytest.mark.parametrize("value", [None, "maybe", 2, -1, 0.5, [], {}, ""])
def test_a_mark_that_says_neither_is_named(value):
    fault = fault_of({"prompt": "Q?", "completion": "A.", "label": value})
    assert fault.code == "bad_label"
    assert "true" in fault.mend


# --- rankings -------------------------------------------------------------------------------------------------
RANKED = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "order",
    [[2, 0, 3, 1], "2,0,3,1", "2, 0, 3, 1", "[2, 0, 3, 1]", "C A D B", "c > a > d > b", "CADB", ["C", "A", "D", "B"],
     [2.0, 0.0, 3.0, 1.0]],
)  # fmt: skip
@pytest.mark.parametrize("names", [("responses", "ranking"), ("answers", "rank")])
def test_a_ranking_gives_every_pair_the_best_first(order, names):
    name, examples = read({"prompt": "Q?", names[0]: RANKED, names[1]: order})
    pairs = [(e.content["chosen"][0]["content"], e.content["rejected"][0]["content"]) for e in examples]
    assert (name, pairs) == (
        "ranking",
        [("c", "a"), ("c", "d"), ("c", "b"), ("a", "d"), ("a", "b"), ("d", "b")],
    )


def test_all_pairs_of_one_ranking_are_one_conversation(tmp_path):
    rows = [{"prompt": f"Q{n}?", "responses": RANKED, "ranking": [3, 2, 1, 0]} for n in range(2)]
    path = tmp_path / "ranked.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = list(read_examples(path))
    assert len(found) == 12
    assert [len({row["conversation"] for row in found[:6]}), len({row["conversation"] for row in found})] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2], [1, 2, 3, 4], [0, 0, 1, 2], "2,0,3", "A B C E", "A=B>C>D", [0, 1, 2, None], None, 3, {}, "",
     [True, 0, 2, 3]],
)  # fmt: skip
def test_an_order_that_does_not_fit_is_refused(order):
    fault = fault_of({"prompt": "Q?", "responses": RANKED, "ranking": order})
    assert fault.code == "bad_ranking"
    assert "from 0" in fault.mend


def test_two_equal_answers_cannot_be_ranked():
    assert fault_of({"prompt": "Q?", "responses": ["a", "a"], "ranking": [0, 1]}).code == "equal_answers"


@pytest.mark.parametrize("count", [1, ANSWERS_MOST + 1])
def test_one_answer_or_very_many_cannot_be_ranked(count):
    record = {"prompt": "Q?", "responses": [f"a{n}" for n in range(count)], "ranking": list(range(count))}
    assert fault_of(record).code == "bad_ranking"


def test_an_order_is_counted_from_0():
    assert order_of("1 0", 2, "ranking") == [1, 0]


# --- refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"prompt": "Q?"}, "prompt without an answer"),
        ({"prompt": [USER]}, "prompt without an answer"),
        ({"prompt": "Q?", "completions": ["a", "b"], "labels": [True, False]}, "stepwise supervision"),
        (
            {"instruction": "Q?", "output": "A.", "rejection_reason": "low_quality", "domain": "asm"},
            "low_quality",
        ),
    ],
)
def test_known_shapes_of_no_use_are_refused_with_the_reason(record, said, tmp_path):
    assert recognise(record) is None
    fault = unknown_row(record)
    assert fault.code == "unsupported_format"
    assert said in fault.problem
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps(record) + "\n" + json.dumps(record) + "\n")
    report = check_file(path, checks={})
    assert (report.verdict, report.rows) == ("reject", 0)
    assert said in report.errors[0]["message"]
    assert report.errors[0]["line"] is None


def test_a_name_that_is_nearly_right_is_told():
    assert "“Messages” may be meant as “messages”" in unknown_row({"Messages": []}).mend
    assert "“chossen” may be meant as “chosen”" in unknown_row({"chossen": "a", "x": "b"}).mend


def test_columns_of_a_table_make_preferences_and_marks(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("prompt,chosen,rejected\nQ?,good,bad\n")
    assert check_file(path, checks={}).kind == "preference"
    path.write_text("prompt,completion,label\nQ?,good,True\nQ?,bad,False\n")
    report = check_file(path, checks={})
    assert (report.kind, report.rows, report.verdict) == ("unpaired", 2, "accept")
