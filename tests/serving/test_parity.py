"""What the comparison with the training says, case by case."""

import math

import pytest

from serving import parity
from serving.backends.base import Scored
from serving.parity_words import divergence_words, drift_words, words_for
from serving.probing import WRITTEN_BOUND, written_difference

PROMPTS = [
    {"answer_token_ids": [1, 2, 3], "logprobs": [-0.1, -0.2, -0.3], "base_logprobs": [-2.0, -3.0, -4.0]},
    {"answer_token_ids": [4], "logprobs": [-0.4], "base_logprobs": [-1.0]},
]
BOUND = parity.BOUNDS["fp32"]


def scored(field: str, shift: float = 0.0, *, best: dict | None = None) -> list[list[Scored]]:
    return [
        [
            Scored(token, value - shift, (best or {}).get(token, token))
            for token, value in zip(prompt["answer_token_ids"], prompt[field], strict=True)
        ]
        for prompt in PROMPTS
    ]


def judged(scores, base=None):
    return parity.judge(PROMPTS, scores, base, bound=BOUND)


def test_equal_is_green():
    found = judged(scored("logprobs"))
    assert found.is_equal and found.reason == "" and found.difference == 0 and found.tokens == 4
    assert found.same_answers == 2 and found.divergence is None


def test_what_is_written_is_compared_up_to_the_first_other_token():
    def choice(*pairs, **others):
        return {
            "tokens": [token for token, _ in pairs],
            "token_logprobs": [value for _, value in pairs],
            "top_logprobs": [{token: value} | others for token, value in pairs],
        }

    alone = choice(("a", -0.1), ("b", -0.7), ("c", -0.2))
    assert written_difference(alone, alone) == 0
    # Two tokens that are about as likely: rounding turned them.
    near = choice(("a", -0.1), ("x", -0.69), ("y", -3.0), b=-0.71)
    assert written_difference(alone, near) == pytest.approx(0.005)
    assert written_difference(alone, choice(("x", -0.1), ("y", -0.1), ("z", -0.1))) > WRITTEN_BOUND
    assert written_difference(alone, choice(("a", -2.0), ("b", -0.7), ("c", -0.2))) > WRITTEN_BOUND
    assert written_difference(alone, choice()) > WRITTEN_BOUND


def test_the_bound_is_a_mean_over_all_tokens():
    assert judged(scored("logprobs", BOUND * 0.99)).is_equal
    assert not judged(scored("logprobs", BOUND * 1.01)).is_equal


@pytest.mark.parametrize(
    ("scores", "base", "reason"),
    [
        (scored("base_logprobs"), scored("base_logprobs"), parity.NOT_APPLIED),
        (scored("logprobs", 5), scored("base_logprobs", 5), parity.WRONG_BASE),
        (scored("base_logprobs", 5), scored("base_logprobs", 5), parity.WRONG_BASE),
        (scored("logprobs", 0.2), scored("base_logprobs", 0.2), parity.QUANTISED),
        # The base is only a little off, and the adapter far: no way of storing the base explains that.
        (scored("logprobs", 3), scored("base_logprobs", 0.1), parity.STALE),
        (scored("logprobs", 3), scored("base_logprobs"), parity.STALE),
        (scored("logprobs", math.nan), scored("base_logprobs"), parity.CORRUPTED),
        (scored("logprobs", math.inf), scored("base_logprobs"), parity.CORRUPTED),
        (scored("logprobs")[:1], scored("base_logprobs"), parity.CORRUPTED),
        (scored("logprobs", 3), scored("base_logprobs", math.nan), parity.WRONG_BASE),
    ],
)
def test_red_says_why(scores, base, reason):
    found = judged(scores, base)
    assert found.is_equal is False and found.reason == reason
    assert words_for(found.as_json())


def test_without_the_bases_own_probabilities_near_and_far_are_told_apart():
    old = [{name: value for name, value in prompt.items() if name != "base_logprobs"} for prompt in PROMPTS]
    near = parity.judge(old, scored("logprobs", 0.2), scored("base_logprobs"), bound=BOUND)
    far = parity.judge(old, scored("logprobs", 2), scored("base_logprobs"), bound=BOUND)
    assert (near.reason, far.reason) == (parity.QUANTISED, parity.OTHER)


def test_the_first_divergence_is_shown():
    found = judged(scored("logprobs", best={3: 9}))
    assert found.is_equal and found.same_answers == 1
    assert (found.divergence.prompt, found.divergence.position) == (0, 2)
    assert "answer 1" in divergence_words(found.as_json()) and "token 3" in divergence_words(found.as_json())


def test_a_reference_in_four_bits_has_a_wider_bound():
    assert parity.bound_of({"precision": "fp32", "quantization": "none"}) == BOUND
    assert parity.bound_of({"precision": "fp32", "quantization": "nf4"}) == parity.QUANTISED_BOUND
    assert parity.bound_of({}) == parity.BOUNDS["bf16"]


def test_drift_is_told_in_words():
    drift = {"mean_abs_logprob_difference": 0.0312, "same_answers": 6, "tokens": 99, "quantization": "nf4"}
    words = drift_words({"drift": drift, "prompts": 8})
    assert "0.0312" in words and "6 of 8" in words
    assert drift_words({"drift": None}) == ""
