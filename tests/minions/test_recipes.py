"""Chains as they come from outside, and what a version keeps."""

import pytest

from minions.recipes import USUAL_KINDS, BadChain, ChainReader, Link, Recipe, recipe_from

READER = ChainReader(["openai", "ollama"], {"k1": "openai"})


def test_a_short_link_gets_the_usual_conditions():
    (link,) = READER.read([{"provider": "openai", "model": " gpt-4o-mini "}])
    assert link["model"] == "gpt-4o-mini"
    assert link["falls_back_on"] == list(USUAL_KINDS)
    assert (link["retries"], link["has_tools"], link["most_cost"]) == (1, True, None)


def test_all_conditions_are_kept():
    given = {"provider": "openai", "key": "k1", "model": "m", "most_cost": 0.02, "first_seconds": 2, "context": 8000,
             "has_tools": False, "retries": 0, "falls_back_on": ["rate"]}  # fmt: skip
    (link,) = READER.read([given])
    assert link == given | {"most_cost": "0.02", "first_seconds": 2.0}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("x", "is a list"),
        ([{}] * 11, "at most 10"),
        (["x"], "Outside model 1 is not an object"),
        ([{"provider": "nobody", "model": "m"}], "no provider 'nobody'"),
        ([{"provider": {}, "model": "m"}], "no provider {}"),
        ([{"provider": "openai"}], "say which model"),
        ([{"provider": "openai", "model": "a\x00"}], "say which model"),
        ([{"provider": "openai", "model": "m", "key": "k2"}], "no such key"),
        ([{"provider": "ollama", "model": "m", "key": "k1"}], "no such key"),
        ([{"provider": "openai", "model": "m", "most_cost": "NaN"}], "amount in dollars"),
        ([{"provider": "openai", "model": "m", "most_cost": True}], "amount in dollars"),
        ([{"provider": "openai", "model": "m", "most_cost": -1}], "amount in dollars"),
        ([{"provider": "openai", "model": "m", "first_seconds": "2"}], "first_seconds is a number"),
        ([{"provider": "openai", "model": "m", "context": 1.5}], "whole number"),
        ([{"provider": "openai", "model": "m", "retries": 6}], "from 0 to 5"),
        ([{"provider": "openai", "model": "m", "has_tools": 1}], "true or false"),
        ([{"provider": "openai", "model": "m", "falls_back_on": ["moon"]}], "falls_back_on is a list"),
        ([{"provider": "openai", "model": "m", "api_key": "sk-…"}], "api_key is not known"),
    ],
)
def test_a_chain_that_cannot_be_says_which_link_and_what_to_do(given, words):
    with pytest.raises(BadChain) as refused:
        READER.read(given)
    assert words in str(refused.value)


def test_a_version_reads_back_what_it_kept():
    recipe = Recipe(
        name="Nora", persona="Be kind.", mode="hybrid", adapter="ft:x", adapter_base="tiny", adapter_role="rewriter",
        knowledge_bases=("kb",), chain=(Link("openai", "m", most_cost="0.5"),), choosing="in_order", style_tokens=1,
        knowledge_tokens=2, history_tokens=3, answer_tokens=4, passages=5, temperature=0.1, on_style_failure="skip",
        on_knowledge_failure="fail", on_answer_failure="fall_back",
    )  # fmt: skip
    stored = recipe.as_json() | {"of_later_times": 1}
    assert recipe_from(stored) == recipe
    assert recipe.rewrites and recipe.has_knowledge
