"""Tools, calls of them and their results, in OpenAI's shape whatever the file's."""

import json

import pytest

from tests.datasets_app.test_formats import (
    ANSWER,
    CALL,
    CALLS,
    RESULT,
    TOOL,
    USER,
    fault_of,
    messages,
    read,
    sharegpt,
)


def test_calls_and_their_results_are_kept():
    _, example = read(messages(USER, CALLS, RESULT, ANSWER, tools=[TOOL]))
    assert example.content["tools"] == [TOOL]
    assert example.content["messages"] == [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        RESULT,
        ANSWER,
    ]


def test_a_call_at_the_end_is_what_is_learned():
    _, example = read(messages(USER, CALLS))
    assert example.content["messages"][-1]["tool_calls"] == [CALL]
    assert example.warnings == ()


def test_the_older_functions_become_tools():
    calls = {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}}
    result = {"role": "function", "name": "find", "content": "found"}
    _, example = read(messages(USER, calls, result, ANSWER, functions=[TOOL["function"]]))
    made = example.content["messages"]
    assert example.content["tools"] == [TOOL]
    assert made[1]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    ]
    assert made[2] == {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": "found"}


def test_calls_of_sharegpt_become_tool_calls():
    call = json.dumps({"name": "find", "arguments": {"x": 1}})
    turns = (("human", "Q?"), ("function_call", call), ("observation", "found"), ("gpt", "A."))
    _, example = read(sharegpt(*turns, tools=json.dumps([TOOL["function"]])))
    made = example.content["messages"]
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "assistant"]
    assert made[1]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"x": 1}'}
    assert made[2]["tool_call_id"] == made[1]["tool_calls"][0]["id"]
    assert example.content["tools"] == [TOOL]


def test_words_before_a_call_belong_to_the_same_turn():
    turns = (("human", "Q?"), ("gpt", "Let me see."), ("function_call", '{"name": "find", "arguments": {}}'))
    _, example = read(sharegpt(*turns))
    assert example.warnings == ()
    last = example.content["messages"][-1]
    assert (last["content"], last["tool_calls"][0]["function"]["name"]) == ("Let me see.", "find")


def test_arguments_as_an_object_become_text():
    call = {"id": "c1", "function": {"name": "find", "arguments": {"x": "ä"}}}
    _, example = read(messages(USER, {"role": "assistant", "tool_calls": [call]}))
    assert example.content["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"x": "ä"}'


def test_a_tool_may_answer_nothing():
    _, example = read(messages(USER, CALLS, {**RESULT, "content": ""}, ANSWER))
    assert example.content["messages"][2]["content"] == ""


def test_a_result_at_the_end_is_left_off_with_a_warning():
    _, example = read(messages(USER, CALLS, RESULT))
    assert example.content["messages"][-1]["tool_calls"] == [CALL]
    assert [warning.code for warning in example.warnings] == ["role_order"]


def test_results_of_calls_in_words_are_kept_with_a_warning():
    _, example = read(
        sharegpt(("human", "Q?"), ("gpt", "<tool_call>find</tool_call>"), ("tool", "x"), ("gpt", "A."))
    )
    assert [warning.code for warning in example.warnings] == ["tool_result_without_call"]
    assert example.content["messages"][2] == {"role": "tool", "content": "x"}


@pytest.mark.parametrize(
    ("code", "record"),
    [
        ("tool_call_without_result", messages(USER, CALLS, ANSWER)),
        ("tool_call_without_result", messages(USER, CALLS, USER, ANSWER)),
        ("tool_call_without_result",
         messages(USER, {**CALLS, "tool_calls": [CALL, {**CALL, "id": "c2"}]}, RESULT, ANSWER)),
        ("tool_result_without_call", messages(USER, RESULT, ANSWER)),
        ("tool_result_without_call", messages(USER, ANSWER, RESULT, ANSWER)),
        ("tool_result_without_call", messages(USER, CALLS, {**RESULT, "tool_call_id": "c9"}, ANSWER)),
        ("tool_result_without_call", messages(USER, CALLS, RESULT, RESULT, ANSWER)),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": "find"})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": {"name": "find"}})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": [{"id": "c1"}]})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": ["find"]})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]})),
        ("bad_tool_call", messages(USER, {**CALLS, "tool_calls": [{"function": {"name": "f", "arguments": 7}}]})),
        ("bad_tool_call", messages(USER, ANSWER, tools="[{broken")),
        ("bad_tool_call", messages(USER, ANSWER, tools={"name": "find"})),
        ("bad_tool_call", messages(USER, ANSWER, tools=[{"type": "function"}])),
        ("bad_tool_call", messages(USER, ANSWER, tools=["find"])),
        ("bad_tool_call", messages(USER, ANSWER, tools=[{"name": "f", "parameters": 7}])),
        ("bad_tool_call", sharegpt(("human", "Q?"), ("function_call", "find it"))),
    ],
)  # fmt: skip
def test_broken_tools_have_their_codes(code, record):
    assert fault_of(record).code == code


@pytest.mark.parametrize("tools", [None, [], "", "  "])
def test_no_tools_are_no_tools(tools):
    _, example = read(messages(USER, ANSWER, tools=tools))
    assert "tools" not in example.content
