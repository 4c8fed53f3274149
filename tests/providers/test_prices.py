"""What answers cost: set here, said by the provider, or listed."""

from decimal import Decimal

import pytest

from providers.base import ModelInfo, Price, Usage
from providers.models import PriceOverride
from providers.prices import price_of, with_prices

pytestmark = pytest.mark.django_db


def override(provider: str, model: str, money: str, **more) -> PriceOverride:
    return PriceOverride.objects.create(
        provider=provider, model=model, input_price=Decimal(money), output_price=Decimal(money) * 2, **more
    )


def test_a_listed_price_says_where_it_comes_from():
    price = price_of("openai", "gpt-4o-mini")
    assert (price.input, price.output, price.cached) == (Decimal("0.15"), Decimal("0.6"), Decimal("0.075"))
    assert price.source.startswith("genai-prices 0.2")
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, cached_tokens=500_000)
    assert price.cost(usage) == Decimal("0.7125")


def test_our_arithmetic_is_the_lists_own():
    """Also where long questions cost more."""
    from genai_prices import Usage as TheirUsage
    from genai_prices import calc_price

    for provider, model in (
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("openai", "gpt-5.1"),
    ):
        for tokens in (1000, 199_000, 201_000, 900_000):
            usage = Usage(tokens, 3000, tokens // 2)
            theirs = calc_price(
                TheirUsage(input_tokens=tokens, output_tokens=3000, cache_read_tokens=tokens // 2), model,
                provider_id=provider,
            )  # fmt: skip
            assert price_of(provider, model).cost(usage) == theirs.total_price, (model, tokens)


def test_what_nobody_knows_has_no_price():
    assert price_of("nvidia", "meta/llama-3.1-8b-instruct") is None
    assert price_of("openai", "no-such-model") is None and price_of("custom", "gpt-4o-mini") is None


def test_a_model_on_ones_own_machine_costs_nothing():
    assert price_of("ollama", "llama3.2").cost(Usage(1000, 1000)) == 0


def test_a_superusers_price_comes_first_and_the_most_exact_of_them():
    override("openai", "*", "9")
    override("openai", "gpt-4o*", "5", note="our contract")
    override("openai", "gpt-4o-mini", "3")
    assert price_of("openai", "gpt-4o-mini").input == 3
    assert price_of("openai", "gpt-4o").source == "set here: our contract"
    assert price_of("openai", "o3").input == 9
    assert price_of("anthropic", "claude-haiku-4-5").input != 9


def test_models_of_a_list_are_priced_by_one_query(django_assert_num_queries):
    own = Price(Decimal(1), Decimal(1), source="the provider")
    override("huggingface", "b", "7")
    with django_assert_num_queries(1):
        found = with_prices(
            "huggingface", [ModelInfo("a", price=own), ModelInfo("b", price=own), ModelInfo("c")]
        )
    assert [price and price.input for _model, price in found] == [1, 7, None]
