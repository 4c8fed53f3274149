"""The list of providers, and plug-ins beside it."""

from importlib.metadata import EntryPoint

import pytest

from providers import registry
from providers.backends.custom import Custom
from providers.base import Access, Provider, ProviderFailed


class Mine(Custom):
    name = "mine"
    label = "Mine"


class Nameless(Custom):
    name = "other"


class Empty:
    name = "empty"


@pytest.fixture
def plugged(monkeypatch):
    def use(*points: tuple[str, str]) -> dict:
        made = [
            EntryPoint(name, f"tests.providers.test_registry:{value}", registry.GROUP)
            for name, value in points
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: made)
        registry.all_providers.cache_clear()
        return registry.all_providers()

    yield use
    monkeypatch.undo()
    registry.all_providers.cache_clear()


def test_the_list_is_literal_and_each_keeps_its_promises():
    for name, made in registry.all_providers().items():
        assert made.name == name and isinstance(made(Access("k", "https://x.example/v1")), Provider)


def test_a_plug_in_stands_beside_ours(plugged):
    assert plugged(("mine", "Mine"))["mine"] is Mine
    assert registry.facts_of(registry.provider_class("mine")).label == "Mine"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("openai", "Mine", "already"), ("wrong", "Nameless", "its name is 'other'"), ("empty", "Empty", "it lacks"),
        ("gone", "NoSuchThing", "cannot be loaded"),
    ],
)  # fmt: skip
def test_a_plug_in_that_is_broken_is_logged_and_left_out(plugged, caplog, name, value, why):
    found = plugged((name, value), ("mine", "Mine"))
    assert why in caplog.text and found["mine"] is Mine
    assert set(found) == {*registry.PROVIDERS, "apex", "mine"} and found["openai"] is not Mine


def test_a_provider_that_is_not_there_is_refused_by_name():
    with pytest.raises(ProviderFailed, match="nobody"):
        registry.provider_class("nobody")
