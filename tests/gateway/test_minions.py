"""A minion as a model: the official client, the whole pipeline with a real adapter, and its token's narrow door."""

import socket

import openai
import pytest

from ledger.models import UsageLine
from minions.models import AnswerTrace
from minions.services import change_minion, create_minion, make_token
from providers.services import create_key
from tests.minions.conftest import FIRST, SECOND, nothing_seen, outside, servers  # noqa: F401 - fixtures
from tests.minions.test_answering import asked
from tests.providers.fakes import KEY, Fault

HELLO = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def minion(alice, adapter, outside):  # noqa: F811
    for name in ("openai", "nvidia"):
        create_key(owner=alice, provider=name, name=name, key=KEY)
    return create_minion(
        owner=alice, name="Nora", persona="You are Nora.", mode="hybrid", adapter=adapter, chain=[FIRST, SECOND],
        style_tokens=8,
    )  # fmt: skip


def with_minion_token(site, minion):
    _token, text = make_token(minion=minion)
    return openai.OpenAI(base_url=f"{site}/v1", api_key=text, max_retries=0, timeout=60)


def test_the_adapter_drafts_and_the_outside_model_answers_whole_and_streamed(site, minion, outside):  # noqa: F811
    client = with_minion_token(site, minion)
    raw = client.chat.completions.with_raw_response.create(model="Nora", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content == "The first says so."
    assert answer.model == "Nora" and answer.usage.completion_tokens >= 10
    assert (
        f"minion={minion.pk}; minion-version=1; adapter={minion.adapter_id}" in raw.headers["x-apex-lineage"]
    )
    assert raw.headers["x-apex-answered-by"] == "openai/gpt-4o-mini"
    assert answer.apex["why"] == "first in the chain"
    draft, knowledge, last = AnswerTrace.objects.get().stages
    assert (draft["kind"], draft["status"], draft["model"]) == ("style", "done", minion.adapter.model_id)
    assert (knowledge["kind"], knowledge["status"]) == ("knowledge", "skipped")
    assert last["kind"] == "answer" and draft["text"].strip() in last["prompt"][0]["content"]
    assert {line.provider for line in UsageLine.objects.all()} == {"apex", "openai"}

    stream = client.chat.completions.create(
        model=str(minion.pk), messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == "The first says so."
    )
    assert chunks[-1].usage.completion_tokens >= 10 and chunks[-2].choices[0].finish_reason == "stop"


def test_the_adapter_has_the_last_word_as_rewriter_and_alone(alices, minion, outside):  # noqa: F811
    change_minion(minion=minion, adapter_role="rewriter", answer_tokens=8)
    answer = alices.chat.completions.create(model="Nora", messages=HELLO)
    stages = AnswerTrace.objects.get().stages
    assert [stage["kind"] for stage in stages] == ["knowledge", "answer", "rewrite"]
    assert "The first says so." in stages[2]["prompt"][-1]["content"]
    # What is kept holds no U+0000, whatever a tiny model writes.
    assert (
        answer.choices[0].message.content.replace("\x00", "\ufffd")
        == stages[2]["text"]
        != "The first says so."
    )
    assert answer.apex["model"] == minion.adapter.model_id

    change_minion(minion=minion, mode="lora_only")
    asked_before = len(outside[0].seen)
    answer = alices.chat.completions.create(model="Nora", messages=HELLO)
    assert answer.apex["model"] == minion.adapter.model_id
    assert len(outside[0].seen) == asked_before


def test_a_stage_that_fails_is_dealt_with_as_the_minion_says(alices, minion, base_model, outside):  # noqa: F811
    type(base_model).objects.update(is_on_this_machine=False)
    answer = alices.chat.completions.create(model="Nora", messages=HELLO)
    assert answer.choices[0].message.content == "The first says so."
    assert "Went on without a draft." in AnswerTrace.objects.get().stages[0]["done_about"]
    change_minion(minion=minion, on_style_failure="fail")
    with pytest.raises(openai.APIStatusError) as refused:
        alices.chat.completions.create(model="Nora", messages=HELLO)
    assert refused.value.code == "no_answer" and "What it learned did not answer" in str(refused.value)


def test_what_a_model_thought_comes_as_reasoning_content_and_not_as_the_answer(alices, minion, outside):  # noqa: F811
    change_minion(minion=minion, mode="provider_only")
    outside[0].thought = "They greet me."
    whole = alices.chat.completions.create(model="Nora", messages=HELLO).choices[0].message
    assert (whole.content, whole.reasoning_content) == ("The first says so.", "They greet me.")
    deltas = [
        chunk.choices[0].delta
        for chunk in alices.chat.completions.create(model="Nora", messages=HELLO, stream=True)
    ]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "They greet me."
    assert "".join(delta.content or "" for delta in deltas) == "The first says so."


def test_the_draft_is_the_answer_where_the_minion_says_so(alices, minion, outside):  # noqa: F811
    change_minion(minion=minion, on_answer_failure="skip")
    for fake in outside:
        fake.script.append(Fault(status=500, body={"error": {"message": "Busy."}}))
    answer = alices.chat.completions.create(model="Nora", messages=HELLO)
    assert (
        answer.apex["model"] == minion.adapter.model_id and answer.apex["why"] == "no outside model answered"
    )


def test_before_the_first_word_another_answers_and_in_the_middle_it_is_an_error(alices, minion, outside):  # noqa: F811
    change_minion(minion=minion, mode="provider_only")
    outside[0].script.append(Fault(after=1, how="cut"))
    raw = alices.chat.completions.with_raw_response.create(model="Nora", messages=HELLO, stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "The second says so."
    assert raw.headers["x-apex-answered-by"] == f"nvidia/{SECOND['model']}"
    assert "openai/gpt-4o-mini failed" in raw.headers["x-apex-why"]
    outside[0].script.append(Fault(after=4, how="cut"))
    with pytest.raises(openai.APIError) as broke:
        list(alices.chat.completions.create(model="Nora", messages=HELLO, stream=True))
    assert broke.value.code == "answer_broke_off"


def test_its_token_asks_its_minion_alone_and_dies_at_once(site, alices, alice, minion, base_model, outside):  # noqa: F811
    other = create_minion(owner=alice, name="Other", chain=[FIRST])
    client = with_minion_token(site, minion)
    for model in ("tiny", "Other", str(other.pk), minion.adapter.model_id):
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model=model, messages=HELLO)
    for call in (lambda: client.models.list(), lambda: client.files.list()):
        with pytest.raises(openai.AuthenticationError):
            call()
    with pytest.raises(openai.APIStatusError):
        client.embeddings.create(model="Nora", input="x")
    assert client.chat.completions.create(model="Nora", messages=HELLO).choices[0].message.content
    make_token(minion=minion)
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="Nora", messages=HELLO)


def test_mallory_has_no_such_model(mallorys, alices, minion):
    assert "Nora" in [model.id for model in alices.models.list()]
    assert "Nora" not in [model.id for model in mallorys.models.list()]
    for name in ("Nora", str(minion.pk)):
        with pytest.raises(openai.NotFoundError):
            mallorys.chat.completions.create(model=name, messages=HELLO)


def test_a_token_for_some_models_may_name_a_minion(site, alice, minion, outside):  # noqa: F811
    from accounts.services import create_token

    _token, text = create_token(user=alice, name="x", scopes=["chat"], model_names=["Nora"])
    client = openai.OpenAI(base_url=f"{site}/v1", api_key=text, max_retries=0)
    assert client.chat.completions.create(model=str(minion.pk), messages=HELLO).choices
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="tiny", messages=HELLO)


def test_what_no_provider_is_passed_is_refused_by_name(alices, minion):
    for more in ({"frequency_penalty": 1}, {"n": 2}, {"logprobs": True}):
        with pytest.raises(openai.BadRequestError) as refused:
            alices.chat.completions.create(model="Nora", messages=HELLO, **more)
        assert refused.value.param in more


def test_without_the_process_the_draft_is_gone_without_at_once(minion, outside, settings, tmp_path):  # noqa: F811
    """It was killed, and leaves its socket."""
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(f"{tmp_path}/dead.sock")
    settings.EMBEDDED_URL = f"unix://{tmp_path}/dead.sock"
    under_way, _events = asked(minion)
    assert under_way.text == "The first says so."
    draft = next(stage for stage in under_way.trace.stages if stage.kind == "style")
    assert draft.status == "failed" and draft.done_about == "Went on without a draft."
    assert "is not up yet" in draft.problem and draft.took_ms < 2500  # not the 3 s that a busy process gets
