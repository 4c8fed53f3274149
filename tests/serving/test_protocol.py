"""What a chat request may say, and how it is refused."""

import pytest

from serving.protocol import ApiError, parse_chat_request

GOOD = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def refused(**changes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_chat_request(GOOD | changes)
    assert caught.value.status == 400
    return caught.value


def test_a_plain_request_gets_the_defaults():
    request = parse_chat_request(GOOD)
    assert (request.temperature, request.top_p, request.max_tokens, request.stream) == (1.0, 1.0, None, False)


def test_hints_and_empty_wishes_change_nothing():
    plain = parse_chat_request(GOOD)
    hints = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "tools": [], "n": 1}
    assert (
        parse_chat_request(GOOD | hints | {"logprobs": False, "response_format": {"type": "text"}}) == plain
    )
    assert parse_chat_request(GOOD | {"temperature": None, "tools": None, "stop": None}) == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function"}]), ("response_format", {"type": "json_schema"}), ("logit_bias", {"1": 5}),
        ("n", 2), ("n", True), ("n", 0), ("audio", {"voice": "x"}), ("modalities", ["audio"]), ("logprobs", True),
        ("top_logprobs", 3), ("reasoning_effort", "high"), ("functions", [{}]), ("best_of", 3), ("top_k", 5),
    ],
)  # fmt: skip
def test_what_would_change_the_answer_is_refused_by_name(name, value):
    assert refused(**{name: value}).param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", "warm"), ("temperature", float("nan")),
        ("top_p", 1.5), ("max_tokens", 0), ("max_completion_tokens", 1.5), ("seed", 2**63), ("seed", True),
        ("frequency_penalty", 3), ("stop", [""]), ("stop", ["a"] * 5), ("stream", "yes"), ("model", ""),
        ("messages", []), ("messages", "Hi"), ("stream_options", {"include_usage": True}),
        ("model", "\ud800"), ("model", "a\x00b"), ("model", ["m"]),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_by_name(name, value):
    assert refused(**{name: value}).param == name


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Hi", "messages[0]"),
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": "\ud800"}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "text", "text": "\udfff"}]}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0]"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "messages[0]"),
    ],
)
def test_a_message_that_is_none_is_refused_with_its_place(message, param):
    assert refused(messages=[message]).param == param


def test_a_value_that_nests_too_deep_to_be_shown_is_refused_by_name():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    assert refused(messages=[{"role": nested, "content": "x"}]).param == "messages[0].role"


def test_text_parts_and_developer_messages_become_plain_ones():
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "day"}]
    request = parse_chat_request(GOOD | {"messages": [{"role": "developer", "content": parts}]})
    assert request.messages == [{"role": "system", "content": "Good day"}]


def test_both_names_of_the_token_limit_at_once_are_refused():
    assert refused(max_tokens=5, max_completion_tokens=6).param == "max_tokens"
    assert parse_chat_request(GOOD | {"max_completion_tokens": 6}).max_tokens == 6


def test_a_missing_model_is_named():
    with pytest.raises(ApiError) as caught:
        parse_chat_request({"messages": GOOD["messages"]})
    assert caught.value.param == "model"


def test_a_request_survives_the_way_to_the_next_server():
    request = parse_chat_request(GOOD | {"seed": 3, "stop": "x", "max_tokens": 9, "temperature": 0.5})
    assert parse_chat_request(request.as_body()) == request
