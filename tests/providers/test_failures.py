"""What refusals mean, as the providers word them, and keys taken out of their words."""

import json
import time
from base64 import b64encode, urlsafe_b64encode
from email.utils import formatdate
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.base import ProviderFailed
from providers.failures import failure_of, read_words, refused_parameter, scrub, told_to_wait

OPENAI = lambda message, code=None, kind="invalid_request_error": {  # noqa: E731
    "error": {"message": message, "type": kind, "param": None, "code": code}
}
ANTHROPIC = lambda kind, message="no", **more: {  # noqa: E731
    "type": "error", "error": {"type": kind, "message": message} | more
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, OPENAI("Incorrect API key provided", "invalid_api_key"), "auth"),
        (429, OPENAI("Rate limit reached for gpt-4o", "rate_limit_exceeded", "requests"), "rate"),
        (429, OPENAI("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), "quota"),
        (
            429,
            OPENAI("You exceeded your current quota, please check your plan and billing details."),
            "quota",
        ),
        (
            400,
            OPENAI("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
            "context",
        ),
        (400, OPENAI("This model's maximum context length is 8192 tokens."), "context"),
        (400, OPENAI("The response was filtered due to the prompt", "content_filter"), "content"),
        (400, OPENAI("Invalid prompt", "content_policy_violation"), "content"),
        (404, OPENAI("The model `x` does not exist", "model_not_found"), "bad_request"),
        (400, OPENAI("Unknown parameter: 'foo'."), "bad_request"),
        (500, OPENAI("The server had an error", None, "server_error"), "overload"),
        (503, OPENAI("That model is currently overloaded", None, "server_error"), "overload"),
        (529, ANTHROPIC("overloaded_error", "Overloaded"), "overload"),
        (429, ANTHROPIC("rate_limit_error"), "rate"),
        (429, ANTHROPIC("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), "quota"),
        (
            400,
            ANTHROPIC("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            "quota",
        ),
        (402, ANTHROPIC("billing_error"), "quota"),
        (
            400,
            ANTHROPIC("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            "context",
        ),
        (413, ANTHROPIC("request_too_large"), "context"),
        (403, ANTHROPIC("permission_error"), "auth"),
        (404, ANTHROPIC("not_found_error", "model: x"), "bad_request"),
        (403, {"status": 403, "title": "Forbidden", "detail": "Authorization failed"}, "auth"),
        (404, {"status": 404, "detail": "Function '1': Not found for account '2'"}, "bad_request"),
        (402, {"detail": "Payment Required: You have exceeded your credits limit"}, "quota"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "Input should be a valid string"}]}, "bad_request"),
        (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, "quota"),
        (401, {"error": "Invalid username or password."}, "auth"),
        (404, {"error": "model 'x' not found"}, "bad_request"),
        (400, {"error": "the input length exceeds the context length"}, "context"),
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "overload"),
        (502, "<html><head><title>502 Bad Gateway</title></head></html>", "overload"),
        (504, "", "overload"),
        (418, "[1, 2", "bad_request"),
    ],
)
def test_refusals_as_providers_word_them(status, body, kind):
    said = read_words(body if isinstance(body, str) else json.dumps(body))
    assert failure_of(status, said) == kind
    assert "<" not in said.message


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.integers(400, 599), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "message", "type", "code", "detail", "details", "param"]), inner, max_size=4),
    max_leaves=8,
))  # fmt: skip
def test_no_answer_is_too_odd_to_be_read(status, body):
    said = read_words(json.dumps(body))
    assert failure_of(status, said) in set(__import__("providers.base", fromlist=["Failure"]).Failure)
    assert isinstance(said.message, str)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None), ({"retry-after": "-3"}, None), ({"retry-after": "nan"}, None), ({}, None),
    ],
)  # fmt: skip
def test_pauses_that_are_asked_for(headers, seconds):
    assert told_to_wait(headers) == seconds


def test_a_pause_may_be_a_date():
    wait = told_to_wait({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None and 28 < wait < 31
    assert told_to_wait({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0


@pytest.mark.parametrize(
    ("message", "param", "name"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0.5 with this model.", None, "temperature"),
        ("`temperature` and `top_p` cannot both be specified for this model.", None, "top_p"),
        ("`temperature` is deprecated for this model.", None, "temperature"),
        ("stream_options: Extra inputs are not permitted", None, "stream_options"),
        ("temperature must be between 0 and 1", "temperature", None),
        ("Unsupported parameter: 'tools'", "tools", None),
    ],
)  # fmt: skip
def test_parameters_that_a_model_does_not_take(message, param, name):
    assert refused_parameter(message, param) == name


KEYS = ["sk-proj-AbCdEf0123456789xyzXYZ", "nvapi-0123456789abcdef", "plain0123456789without0prefix"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_does_not_come_back_in_words(key):
    texts = (
        f"Incorrect API key provided: {key}.", f'{{"key":"{key}"}}', f"key={key[:12]}…", f"…ends in {key[-10:]}!",
        f"Bearer {key}", f"sk-proj-{'*' * 12}{key[-4:]}", f"https://x.example/?api_key={key}&y=1",
    )  # fmt: skip
    for text in texts:
        clean = scrub(text, key)
        pieces = [key[start : start + 8] for start in range(len(key) - 7)]
        assert not any(piece in clean for piece in pieces), clean
    assert (
        scrub("The model is overloaded, try gpt-4o-mini.", key) == "The model is overloaded, try gpt-4o-mini."
    )


@pytest.mark.parametrize("before", ["", "a", "ab", "Bearer "])
def test_no_key_stays_in_a_providers_words_in_another_spelling(before):
    key = "sk/proj+0123456789abcdefghij=ZZ"
    for packed in (
        b64encode(f"{before}{key}:x".encode()).decode(), urlsafe_b64encode(f"{before}{key}".encode()).decode(),
        quote(before + key, safe=""), (before + key).encode().hex(), (before + key).encode().hex().upper(),
    ):  # fmt: skip
        assert scrub(f"Basic {packed} is wrong", key) == "Basic [key] is wrong"
        assert scrub(f"{packed[: len(packed) // 2]} …", key) == "[key] …"


def test_a_failure_has_openais_shape_for_programs():
    problem = ProviderFailed("no", kind="quota", provider="openai", retry_after=3)
    assert (problem.kind, problem.status, problem.retry_after, problem.has_begun) == ("quota", 429, 3, False)
    assert problem.body()["error"] == {
        "message": "no", "type": "insufficient_quota", "param": None, "code": "insufficient_quota",
    }  # fmt: skip
