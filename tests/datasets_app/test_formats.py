"""Conversations in every shape: how each is recognised, what becomes of it, and the code of each fault."""

import json

import pytest

from datasets_app.formats import recognise
from datasets_app.formats.base import BadRow
from datasets_app.formats.chatml import read_chatml
from datasets_app.reading import check_file, read_examples
from tests.datasets_app.files import chat, pair

USER, ANSWER = {"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def read(record):
    """(format, its one example)."""
    module = recognise(record)
    assert module is not None, record
    (example,) = module.to_examples(record)
    return module.NAME, example


def words(example):
    return [(message["role"], message["content"]) for message in example.content["messages"]]


def fault_of(record) -> BadRow:
    with pytest.raises(BadRow) as fault:
        recognise(record).to_examples(record)
    assert fault.value.problem and fault.value.mend
    return fault.value


def messages(*turns, **beside):
    return {"messages": list(turns), **beside}


def sharegpt(*turns, **beside):
    return {"conversations": [{"from": who, "value": said} for who, said in turns], **beside}


ONE = [("user", "Q?"), ("assistant", "A.")]
SYSTEM = [("system", "S."), *ONE]
LONG = [("user", "Q1"), ("assistant", "A1"), *ONE]
ALPACA = {"instruction": "Q?", "output": "A."}

# format, record, the turns that become of it
SHAPES = [
    ("messages", messages(USER, ANSWER), ONE),
    ("messages", messages({"role": "developer", "content": "S."}, USER, ANSWER), SYSTEM),
    ("messages", messages(USER, ANSWER, metadata={"a": 1}), ONE),
    ("messages", messages({"role": "user", "content": [{"type": "text", "text": "Q?"}]}, ANSWER), ONE),
    ("messages", messages(USER, {"role": "assistant", "content": None, "refusal": "A."}), ONE),
    ("sharegpt", sharegpt(("human", "Q?"), ("gpt", "A.")), ONE),
    ("sharegpt", sharegpt(("system", "S."), ("user", "Q?"), ("assistant", "A.")), SYSTEM),
    ("sharegpt", sharegpt(("human", "Q?"), ("gpt", "A."), system="S."), SYSTEM),
    ("sharegpt", {"messages": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]}, ONE),
    ("sharegpt", {"conversations": [USER, ANSWER]}, ONE),
    ("sharegpt", {"conversation": [{"human": "Q1", "assistant": "A1"}, {"human": "Q?", "assistant": "A."}]}, LONG),
    ("sharegpt", {"conversation": [{"system": "S.", "input": "Q?", "output": "A."}]}, SYSTEM),
    ("sharegpt", {"system": "S.", "conversation": [{"human": "Q?", "assistant": "A."}]}, SYSTEM),
    ("turns", {"turns": [USER, ANSWER]}, ONE),
    ("turns", {"turns": [{"speaker": "client", "text": "Q?"}, {"speaker": "Coach", "text": "A."}]}, ONE),
    ("alpaca", ALPACA, ONE),
    ("alpaca", {**ALPACA, "input": ""}, ONE),
    ("alpaca", {**ALPACA, "input": None}, ONE),
    ("alpaca", {**ALPACA, "system": "S."}, SYSTEM),
    ("alpaca", {**ALPACA, "history": [["Q1", "A1"]]}, LONG),
    ("alpaca", {**ALPACA, "input": "more"}, [("user", "Q?\n\nmore"), ("assistant", "A.")]),
    ("alpaca", {**ALPACA, "text": "### Instruction: Q?"}, ONE),
    ("alpaca", {**ALPACA, "_metadata": {"sample_id": "a", "domain": "asm", "quality_score": 0.9}}, ONE),
    ("hafs", {**ALPACA, "input": "", "domain": "asm", "sample_id": "a", "quality_score": 0.9, "embedding": None}, ONE),
    ("prompt-completion", {"prompt": "Q?", "completion": "A."}, ONE),
    ("prompt-completion", {"prompt": [USER], "completion": [ANSWER]}, ONE),
    ("prompt-completion", {"prompt": "Q?", "completion": ANSWER}, ONE),
    ("prompt-completion", {"question": "Q?", "answer": "A.", "system": "S."}, SYSTEM),
    ("prompt-completion", {"query": "Q?", "response": "A.", "history": [["Q1", "A1"]]}, LONG),
    ("chatml", {"text": "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA.<|im_end|>\n"}, ONE),
    ("chatml", {"text": "<s><|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n"
                        "A."}, SYSTEM),
]  # fmt: skip


@pytest.mark.parametrize(("name", "record", "turns"), SHAPES)
def test_each_shape_is_recognised_and_read(name, record, turns):
    found, example = read(record)
    assert (found, words(example)) == (name, turns)
    assert example.kind == "chat"
    assert example.warnings == ()


# code, record
FAULTS = [
    ("no_messages", messages()),
    ("null_content", {"messages": None}),
    ("wrong_type", {"messages": "hello"}),
    ("wrong_type", messages("hello")),
    ("double_encoded", {"messages": json.dumps([USER, ANSWER])}),
    ("missing_field", messages({"content": "Q?"}, ANSWER)),
    ("missing_field", messages({"role": "user"}, ANSWER)),
    ("unknown_role", messages({"role": "", "content": "Q?"}, ANSWER)),
    ("unknown_role", messages({"role": None, "content": "Q?"}, ANSWER)),
    ("unknown_role", messages({"role": "narrator", "content": "Q?"}, ANSWER)),
    ("null_content", messages({"role": "user", "content": None}, ANSWER)),
    ("null_content", messages(USER, {"role": "assistant", "content": None})),
    ("wrong_type", messages({"role": "user", "content": {"a": 1}}, ANSWER)),
    ("empty_text", messages({"role": "user", "content": " "}, ANSWER)),
    ("empty_text", messages(USER, {"role": "assistant", "content": ""})),
    ("no_answer", messages(USER)),
    ("no_question", messages({"role": "system", "content": "S."}, ANSWER)),
    ("role_order", messages(USER, ANSWER, {"role": "system", "content": "S."}, USER, ANSWER)),
    ("bad_weight", messages(USER, {**ANSWER, "weight": 2})),
    ("bad_weight", messages(USER, {**ANSWER, "weight": 0.5})),
    ("bad_weight", messages(USER, {**ANSWER, "weight": "1"})),
    ("bad_weight", messages(USER, {**ANSWER, "weight": True})),
    ("nothing_learned", messages(USER, {**ANSWER, "weight": 0})),
    ("image_content", messages({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER)),
    ("image_content", messages({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, ANSWER)),
    ("image_content", messages(USER, ANSWER, images=["cat.png"])),
    ("content_part", messages({"role": "user", "content": [{"type": "strange"}]}, ANSWER)),
    ("content_part", messages({"role": "user", "content": ["Q?"]}, ANSWER)),
    ("lone_surrogate", messages({"role": "user", "content": "\ud83d"}, ANSWER)),
    ("bad_split", messages(USER, ANSWER, split="test")),
    ("unknown_role", sharegpt(("alien", "Q?"), ("gpt", "A."))),
    ("missing_field", {"conversations": [{"from": "human"}]}),
    ("missing_field", {"conversation": [{"human": "Q?", "assistant": "A."}, {"human": "Q?"}]}),
    ("empty_text", {"instruction": "Q?", "output": " "}),
    ("null_content", {"instruction": "Q?", "output": None}),
    ("empty_text", {"instruction": "", "input": "", "output": "A."}),
    ("wrong_type", {**ALPACA, "history": "Q1"}),
    ("empty_text", {"prompt": "", "completion": "A."}),
    ("null_content", {"prompt": "Q?", "completion": None}),
    ("unknown_role", {"text": "<|im_start|>alien\nQ?<|im_end|>"}),
    ("empty_text", {"text": "  "}),
    ("null_content", {"text": None}),
    ("null_content", pair(conversation_history=None, current_user_input=None)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "record"), FAULTS)
def test_each_fault_has_its_code(code, record):
    assert fault_of(record).code == code


# --- weights, names, order ------------------------------------------------------------------------------------
def test_an_answer_of_weight_0_is_context_however_it_is_joined():
    _, example = read(messages(USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}))
    assert [message.get("weight") for message in example.content["messages"]] == [None, 0, None, None]
    record = messages(USER, ANSWER, USER, {**ANSWER, "content": "B", "weight": 0}, ANSWER)
    _, example = read(record)
    assert example.content["messages"][-1] == {"role": "assistant", "content": "B\n\nA.", "weight": 0}


def test_answers_in_a_prompt_are_context():
    _, example = read({"prompt": [USER, ANSWER, USER], "completion": "C."})
    assert [message.get("weight") for message in example.content["messages"]] == [None, 0, None, None]


def test_names_of_people_are_kept():
    _, example = read(messages({**USER, "name": "Ada"}, ANSWER))
    assert example.content["messages"][0]["name"] == "Ada"


def test_a_conversation_that_begins_with_an_answer_loses_it_with_a_warning():
    _, example = read(messages(ANSWER, USER, ANSWER, USER))
    assert words(example) == ONE
    assert [warning.code for warning in example.warnings] == ["role_order", "role_order"]


def test_the_same_turn_twice_is_kept_once():
    _, example = read(messages(USER, USER, ANSWER))
    assert words(example) == ONE
    assert [warning.code for warning in example.warnings] == ["repeated_turn"]


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("I am {{name}}.", True),
        ("I am {{ author_name }}.", True),
        ("```\n{{name}}\n```", False),
        ("{% if x %}{{name}}{% endif %}", False),
        ("<b>{{name}}</b>", False),
        ("{{1 + 2}}", False),
    ],
)
def test_a_placeholder_is_told_but_not_in_code(text, is_told):
    _, example = read(chat(answer=text))
    assert [warning.code for warning in example.warnings] == ["placeholder"] * is_told


# --- ChatML ---------------------------------------------------------------------------------------------------
def test_a_prompt_for_an_answer_at_the_end_of_chatml_is_no_turn():
    turns = read_chatml("<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n")
    assert [turn.role for turn in turns] == ["user"]


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nQ?<|im_start|>assistant\nA.<|im_end|>",
        "<|im_start|>user\nQ?<|im_end|> said he <|im_start|>assistant\nA.<|im_end|>",
    ],
)
def test_text_outside_of_turns_is_refused(text):
    assert fault_of({"text": text}).code == "bad_row"


def test_a_text_that_speaks_of_chatml_is_plain_text():
    assert recognise({"text": "The token <|im_start|> begins a turn."}).NAME == "text"


# --- plain text -----------------------------------------------------------------------------------------------
def test_a_text_keeps_its_white_space():
    name, example = read({"text": "\tLDA.w #$00\n", "source": "rom.asm", "split": "train"})
    assert (name, example.kind, example.content, example.split) == (
        "text", "text", {"text": "\tLDA.w #$00\n"}, "train",
    )  # fmt: skip


@pytest.mark.parametrize("record", [{"text": "a", "label": 1}, {"text": "a", "summary": "b"}])
def test_a_text_with_a_label_or_summary_is_no_plain_text(record):
    assert recognise(record) is None


# --- brightrun ------------------------------------------------------------------------------------------------
def test_line_breaks_as_two_characters_are_told_in_the_history_too():
    history = [{"role": "user", "content": "a\\nb"}, {"role": "assistant", "content": "c"}]
    _, example = read(pair(conversation_history=history))
    assert [warning.code for warning in example.warnings] == ["literal_line_break"]


def test_a_key_around_the_pair_comes_before_the_slug_in_it():
    (example,) = recognise(pair()).to_examples(pair(), "uuid-1")
    assert example.conversation == "uuid-1"


def test_raw_turns_take_their_key_from_their_metadata():
    record = {"conversation_metadata": {"conversation_id": "u-1"}, "turns": [USER, ANSWER]}
    name, example = read(record)
    assert (name, example.conversation) == ("turns", "u-1")


def test_scores_of_hafs_decide_nothing():
    name, example = read({**ALPACA, "domain": "asm", "quality_score": 0.0, "kg_validated": False})
    assert (name, words(example)) == ("hafs", ONE)


def whole_file(conversations, pairs, **header):
    return {
        "training_file_metadata": {"format_spec": "brightrun-lora-v4", **header},
        "conversations": [
            {"conversation_metadata": {"conversation_id": f"u-{number}"}, "training_pairs": [pair()] * pairs}
            for number in range(conversations)
        ],
    }


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"total_conversations": 2, "total_training_pairs": 6}, []),
        ({"total_conversations": 2}, []),
        ({"total_training_pairs": 0}, ["counts 0 training pairs"]),
        (
            {"total_conversations": 3, "total_training_pairs": 7},
            ["counts 7 training pairs", "counts 3 conversations"],
        ),
    ],
)
def test_a_header_that_counts_otherwise_is_told_and_decides_nothing(header, said, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(whole_file(2, 3, **header)))
    report = check_file(path, checks={})
    assert (report.rows, report.verdict) == (6, "warn" if said else "accept")
    assert [words in fault["message"] for words, fault in zip(said, report.warnings, strict=True)] == [
        True
    ] * len(said)
    assert {fault["code"] for fault in report.warnings} <= {"wrong_count"}


def test_raw_turns_in_a_file_of_conversations_are_read(tmp_path):
    path = tmp_path / "file.json"
    one = {"conversation_metadata": {"conversation_id": "u-1"}, "turns": [USER, ANSWER]}
    path.write_text(
        json.dumps({"training_file_metadata": {"total_training_pairs": 9}, "conversations": [one]})
    )
    (row,) = read_examples(path)
    assert (row["conversation"], row["messages"]) == ("u-1", [USER, ANSWER])
    assert check_file(path, checks={}).format == "turns"
