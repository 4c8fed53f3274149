"""The playground: which models it offers, what each column is answered, and what stays another's."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse

from gateway.aliases import create_alias
from ledger.models import Reservation, ServingPrice, UsageLine
from ledger.services import set_budget
from tests.serving.factories import make_adapter_row, make_base_model

URL = "/playground/"


@pytest.fixture
def base_model(db, tiny):
    return make_base_model(tiny["base"])


@pytest.fixture
def adapter(alice, base_model, tiny):
    return make_adapter_row(alice, base_model, tiny["one"])


@pytest.fixture
def answering(embedded, settings):
    settings.EMBEDDED_URL = embedded.url


def ask(user, **fields) -> tuple[int, list[dict] | str]:
    """Status, and the events of one column or the words of a refusal."""
    asked = {
        "prompt": "Hello, who are you?",
        "temperature": 0,
        "max_tokens": 12,
        "seed": "",
        "instruction": "",
    }

    async def run():
        client = AsyncClient()
        await client.aforce_login(user)
        response = await client.post(reverse("playground:answer"), asked | fields)
        if not response.streaming:
            return response.status_code, response.content.decode()
        body = b"".join([part async for part in response]).decode()
        return 200, [json.loads(line[6:]) for line in body.split("\n\n") if line.startswith("data: ")]

    return async_to_sync(run)()


def text_of(events: list[dict]) -> str:
    return "".join(event.get("delta", "") for event in events)


def test_ones_own_stands_beside_its_base_to_begin_with(alice_client, adapter, alice):
    create_alias(owner=alice, name="gpt-4o-mini", base_model=adapter.base_model)
    response = alice_client.get(URL)
    assert response.context["columns"] == [adapter.model_id, "tiny"]
    offered = {choice.name for _title, found in response.context["groups"] for choice in found}
    assert offered == {adapter.model_id, "tiny", "gpt-4o-mini"}
    assert 'base_url="http://testserver/v1"' in response.content.decode()


def test_the_address_names_up_to_four_models_and_says_what_is_gone(alice_client, adapter):
    response = alice_client.get(URL, {"model": ["tiny", "gone-model", adapter.model_id], "prompt": "<b>?"})
    assert response.context["columns"] == ["tiny", adapter.model_id]
    text = response.content.decode()
    assert "gone-model cannot be asked" in text and "&lt;b&gt;?" in text


def test_without_any_model_the_page_says_what_is_missing(alice_client):
    assert "There is no model to ask yet" in alice_client.get(URL).content.decode()


def test_a_column_tells_where_its_answer_comes_from_and_how_fast_it_was(alice, adapter, answering):
    status, events = ask(alice, model=adapter.model_id)
    assert status == 200
    first, *_deltas, end = events
    assert [part["name"] for part in first["lineage"]] == ["Coach", "Data of Coach, version 1", "Tiny"]
    assert first["lineage"][0]["url"] == reverse("training:job-detail", args=[adapter.job_id])
    assert end["done"] and 0 < end["tokens"] <= 12
    assert end["first_seconds"] >= 0 and end["seconds"] >= 0
    _, base = ask(alice, model="tiny")
    assert base[0]["lineage"][0]["name"] == "Tiny"
    assert text_of(base) != text_of(events)


def test_a_columns_answer_is_in_the_ledger_and_under_the_budget(alice, adapter, answering):
    ServingPrice.objects.create(input_dollars=0, output_dollars=100_000)
    set_budget(owner=alice, limit="1.20")
    _, events = ask(alice, model=adapter.model_id, max_tokens=12)
    line = UsageLine.objects.get()
    assert (line.owner, line.activity, line.adapter_id, line.outcome) == (
        alice,
        "playground",
        adapter.pk,
        "ok",
    )
    assert line.output_tokens == events[-1]["tokens"] and line.nanos == line.output_tokens * 10**8
    _, refused = ask(alice, model=adapter.model_id, max_tokens=12)
    assert "this could cost up to $1.20" in refused[-1]["error"] and UsageLine.objects.count() == 1
    assert not Reservation.objects.exists()


def test_settings_reach_the_model(alice, base_model, answering):
    _, short = ask(alice, model="tiny", max_tokens=2)
    assert short[-1]["tokens"] == 2 and short[-1]["finish_reason"] == "length"
    drawn = [text_of(ask(alice, model="tiny", temperature=2, seed=seed)[1]) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    _, plain = ask(alice, model="tiny")
    _, told = ask(alice, model="tiny", instruction="Answer like a pirate at sea.")
    assert text_of(plain) != text_of(told)


def test_an_alias_is_answered_by_what_it_means(alice, base_model, answering):
    create_alias(owner=alice, name="gpt-4o-mini", base_model=base_model)
    assert text_of(ask(alice, model="gpt-4o-mini")[1]) == text_of(ask(alice, model="tiny")[1]) != ""


def test_anothers_model_is_as_missing_as_one_that_never_was(
    mallory, mallory_client, alice, adapter, answering
):
    create_alias(owner=alice, name="alices-own", base_model=adapter.base_model)
    said = [ask(mallory, model=name) for name in (adapter.model_id, "alices-own", "never-was")]
    assert said[0] == said[1] == said[2]
    assert "no such model that you can ask" in said[0][1][-1]["error"]
    text = mallory_client.get(URL).content.decode()
    assert adapter.model_id not in text and "alices-own" not in text
    assert adapter.name not in text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": " "}, "The question"),
        ({"prompt": "x" * 8001}, "The question"),
        ({"model": ""}, "The model"),
        ({"model": "a\x00b"}, "The model"),
        ({"temperature": "3"}, "Chance"),
        ({"temperature": "nan"}, "Chance"),
        ({"max_tokens": "0"}, "Longest answer"),
        ({"max_tokens": "99999999"}, "Longest answer"),
        ({"seed": "-1"}, "Seed"),
    ],
)
def test_a_wrong_setting_is_named(alice, base_model, fields, named):
    status, words = ask(alice, **({"model": "tiny"} | fields))
    assert status == 400 and words.startswith(named)


def test_visitors_sign_in_first(client):
    for url in (URL, reverse("playground:answer")):
        assert client.post(url).status_code in (302, 405) and client.get(url).status_code in (302, 405)


def test_an_adapters_pages_show_how_programs_call_it(alice_client, adapter):
    text = alice_client.get(reverse("serving:compare", args=[adapter.pk])).content.decode()
    assert text.count(f"<span data-call-model>{adapter.model_id}</span>") == 3
    for language in ("from openai import OpenAI", "curl http://testserver/v1", 'import OpenAI from "openai"'):
        assert language in text
