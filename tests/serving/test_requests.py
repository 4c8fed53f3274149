"""What requests may say to what can do more than plain chat: tools, choices, log-probabilities, texts, vectors."""

import pytest

from serving.protocol import (
    Ability,
    ApiError,
    parse_chat_request,
    parse_completion_request,
    parse_embedding_request,
)

EVERYTHING = frozenset(Ability)
HELLO = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "m", "messages": HELLO}
TEXT = {"model": "m", "prompt": "Once"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


def refused(parse, body, abilities=EVERYTHING) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(body, abilities)
    assert caught.value.status == 400
    return caught.value


def test_a_conversation_with_tools_keeps_calls_and_answers():
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": "42", "name": "look_up"},
    ]
    request = parse_chat_request({"model": "m", "messages": messages, "tools": [TOOL]}, EVERYTHING)
    assert request.messages[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert request.messages[2] == {"role": "tool", "content": "42", "name": "look_up", "tool_call_id": "c1"}
    assert request.tools == [TOOL]


def test_log_probabilities_are_asked_with_or_without_the_likeliest_tokens():
    assert parse_chat_request(CHAT, EVERYTHING).top_logprobs is None
    assert parse_chat_request(CHAT | {"logprobs": True}, EVERYTHING).top_logprobs == 0
    assert parse_chat_request(CHAT | {"logprobs": True, "top_logprobs": 3}, EVERYTHING).top_logprobs == 3


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 0}, "n"), ({"n": 129}, "n"), ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"), ({"logit_bias": {"5": True}}, "logit_bias"),
        ({"tools": [{"type": "function"}]}, "tools[0]"), ({"tools": "look_up"}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"), ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"), ({"response_format": []}, "response_format"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": "x", "name": 5}]}, "messages[0].name"),
        ({"stop": ["\ud800"]}, "stop"), ({"functions": [{}]}, "functions"), ({"top_k": 5}, "top_k"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(change, param):
    assert refused(parse_chat_request, CHAT | change).param == param


def test_a_request_with_everything_survives_the_way_to_the_next_server():
    body = CHAT | {
        "n": 2, "logprobs": True, "top_logprobs": 2, "tools": [TOOL], "tool_choice": "required",
        "logit_bias": {"7": -1}, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    }  # fmt: skip
    request = parse_chat_request(body, EVERYTHING)
    assert parse_chat_request(request.as_body(), EVERYTHING) == request


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("Once", ["Once"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        ("", [""]),
    ],
)
def test_a_prompt_is_text_texts_or_token_ids(prompt, prompts):
    request = parse_completion_request(TEXT | {"prompt": prompt}, EVERYTHING)
    assert (request.prompts, request.max_tokens) == (prompts, 16)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"), ({"prompt": [1, "a"]}, "prompt"), ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [[]]}, "prompt[0]"), ({"prompt": [True]}, "prompt"), ({"prompt": [-1]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"), ({"prompt": "\ud800"}, "prompt"), ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"), ({"max_tokens": 0}, "max_tokens"), ({"echo": "yes"}, "echo"),
        ({"n": 3, "best_of": 2}, "best_of"), ({"best_of": 2, "stream": True}, "best_of"),
        ({"messages": HELLO}, "messages"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_text_is_named(change, param):
    assert refused(parse_completion_request, TEXT | change).param == param


def test_what_a_backend_cannot_do_is_refused_by_name():
    plain = frozenset({Ability.CHAT, Ability.COMPLETIONS})
    assert refused(parse_completion_request, TEXT | {"prompt": [1, 2]}, plain).param == "prompt"
    assert refused(parse_completion_request, TEXT | {"echo": True}, plain).param == "echo"
    assert refused(parse_completion_request, TEXT | {"logprobs": 0}, plain).param == "logprobs"
    assert (
        refused(parse_embedding_request, {"model": "m", "input": "x"}, plain).code == "unsupported_endpoint"
    )
    assert parse_completion_request(TEXT | {"echo": False, "n": 1, "user": "u"}, plain).prompts == ["Once"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"), ({"input": ["a", ""]}, "input[1]"), ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "text"}, "encoding_format"), ({"encoding_format": []}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"), ({"temperature": 1}, "temperature"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_vector_is_named(change, param):
    assert refused(parse_embedding_request, {"model": "m", "input": "x"} | change).param == param


def test_a_number_of_very_many_digits_is_refused_by_name():
    assert refused(parse_chat_request, CHAT | {"max_tokens": -(10**5000)}).param == "max_tokens"
