"""The official client against a live server: what it lists, what it streams, how it is refused."""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import openai
import pytest
from asgiref.sync import async_to_sync

from gateway.aliases import create_alias
from gateway.hot.exchange import MAX_BODY_BYTES
from serving import services
from serving.backends.embedded import EmbeddedBackend
from serving.protocol import ApiError
from tests.gateway.conftest import client_for
from tests.gateway.mock_server import MockServer, Script, chunk
from tests.training.factories import make_checkpoint, make_version
from training.checkpoints import checkpoint_called
from training.kept_checkpoints import keep_checkpoint
from training.models import Checkpoint, TrainingJob, model_id_of

HELLO = [{"role": "user", "content": "Hello, who are you?"}]
SHORT = {"messages": HELLO, "max_tokens": 12, "temperature": 0}


def raw(url, method="GET", body=None, token=None):
    """(status, headers, JSON body) without a client in between."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    is_raw = body is None or isinstance(body, bytes | Iterator)
    data = body if is_raw else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def test_the_list_shows_base_models_and_ones_own_adapters_only(alices, mallorys, adapter, base_model):
    assert [model.id for model in alices.models.list()] == [base_model.name, adapter.model_id]
    assert [model.id for model in mallorys.models.list()] == [base_model.name]
    card = alices.models.retrieve(adapter.model_id)
    assert (card.object, card.owned_by) == ("model", "alice")
    assert adapter.model_id.startswith("ft:tiny:alice:coach:")


def test_base_and_adapter_answer_whole_and_streamed_alike(alices, adapter, base_model):
    texts = []
    for model in (base_model.name, adapter.model_id):
        whole = alices.chat.completions.create(model=model, **SHORT)
        assert whole.model == model
        assert whole.choices[0].message.role == "assistant"
        assert whole.choices[0].finish_reason == "length"
        assert whole.usage.completion_tokens == 12
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + 12
        assert whole._request_id.startswith("req_")
        chunks = list(
            alices.chat.completions.create(
                model=model, stream=True, stream_options={"include_usage": True}, **SHORT
            )
        )
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage == whole.usage
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
        assert streamed == whole.choices[0].message.content
        texts.append(streamed)
    assert texts[0] != texts[1]


def test_an_answer_names_its_lineage(alices, adapter):
    response = alices.chat.completions.with_raw_response.create(model=adapter.model_id, **SHORT)
    assert response.headers["x-apex-lineage"] == (
        f"adapter={adapter.pk}; job={adapter.job_id}; dataset-version={adapter.dataset_version_id}"
    )


def test_a_strangers_adapter_looks_like_a_missing_one(mallorys, adapter):
    errors = []
    for name in (adapter.model_id, "ft:tiny:alice:coach:00000000"):
        with pytest.raises(openai.NotFoundError) as caught:
            mallorys.chat.completions.create(model=name, **SHORT)
        with pytest.raises(openai.NotFoundError):
            mallorys.models.retrieve(name)
        assert caught.value.code == "model_not_found"
        errors.append(caught.value.body["message"].replace(name, "…"))
    assert errors[0] == errors[1]


def test_a_token_without_the_scope_is_refused(site, alice, base_model):
    with pytest.raises(openai.PermissionDeniedError):
        client_for(site, alice, scopes=["read"]).chat.completions.create(model="tiny", **SHORT)
    with pytest.raises(openai.PermissionDeniedError):
        client_for(site, alice, scopes=["chat"]).models.list()


def test_no_key_and_a_wrong_key_are_refused(site):
    for key in ("apex_wrong", "ü" * 30):
        status, headers, body = raw(f"{site}/v1/models", token=key.encode().decode("latin-1"))
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    status, headers, body = raw(f"{site}/v1/models")
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert headers["x-request-id"].startswith("req_")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{site}/v1", api_key="nonsense", max_retries=0).models.list()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 129}, "n"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(alices, base_model, change, param):
    with pytest.raises(openai.BadRequestError) as caught:
        alices.chat.completions.create(model="tiny", **SHORT | change)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_hints_are_left_aside(alices, base_model):
    alices.chat.completions.create(model="tiny", user="u", metadata={"a": "b"}, store=True, seed=1, **SHORT)


def test_too_long_a_prompt_is_refused_before_a_stream_begins(alices, base_model):
    long = [{"role": "user", "content": "x" * 600}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            alices.chat.completions.create(model="tiny", messages=long, stream=stream)
        assert caught.value.code == "context_length_exceeded"
        assert "512" in caught.value.message


def test_every_fault_below_v1_is_an_error_object(site, alices):
    token = alices.api_key
    faults = [
        raw(f"{site}/v1/embeddings", "POST", {"input": "x"}, token),
        raw(f"{site}/v1/engines", "POST", {"input": "x"}, token),
        raw(f"{site}/v1/", "GET", None, token),
        raw(f"{site}/v1/models", "POST", {}, token),
        raw(f"{site}/v1/chat/completions", "GET", None, token),
        raw(f"{site}/v1/chat/completions", "POST", b"{broken", token),
        raw(f"{site}/v1/chat/completions", "POST", [], token),
    ]
    assert [status for status, _, _ in faults] == [400, 404, 404, 405, 405, 400, 400]
    for _, headers, body in faults:
        assert headers["x-request-id"].startswith("req_")
        assert set(body["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("is_in_chunks", [False, True])
def test_too_large_a_body_is_refused_whether_it_says_its_size_or_not(site, alices, is_in_chunks):
    body = b" " * (MAX_BODY_BYTES + 1)
    body = iter([body[:1000], body[1000:]]) if is_in_chunks else body
    status, _, answer = raw(f"{site}/v1/chat/completions", "POST", body, alices.api_key)
    assert (status, answer["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "\ud800"}, "model"),
        ({"model": "tiny\x00"}, "model"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
    ],
)
def test_text_that_is_no_text_is_refused_by_name(site, alices, base_model, change, param):
    body = {"model": "tiny", **SHORT} | change
    status, _, answer = raw(f"{site}/v1/chat/completions", "POST", body, alices.api_key)
    assert (status, answer["error"]["param"]) == (400, param)


def test_a_model_with_a_nul_in_its_name_is_a_missing_one(site, alices, alice):
    status, _, answer = raw(f"{site}/v1/models/a%00b", token=alices.api_key)
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    for name in ("a\x00b", "\ud800"):
        with pytest.raises(ApiError) as caught:
            async_to_sync(services.resolve_model)(user=alice, model_id=name)
        assert caught.value.status == 404


def test_an_overloaded_process_is_passed_on_with_the_time_to_wait(site, alices, base_model, settings):
    full = ApiError("Too many wait.", status=503, kind="server_error", code="overloaded")
    refusal = Script(status=503, pieces=[json.dumps(full.body()).encode()], headers={"retry-after": "7"})
    with MockServer(lambda asked: refusal) as server:
        settings.EMBEDDED_URL = server.url
        for stream in (False, True):
            body = {"model": "tiny", "stream": stream, **SHORT}
            status, headers, answer = raw(f"{site}/v1/chat/completions", "POST", body, alices.api_key)
            assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "overloaded", "7")


def test_a_client_that_leaves_ends_the_answer_in_the_model_process(alices, adapter, embedded):
    before = embedded.call("GET", "/health")[1]["cancelled"]
    asked = {"model": adapter.model_id, "messages": HELLO, "temperature": 0}
    stream = alices.chat.completions.create(stream=True, **asked)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 5
    while embedded.call("GET", "/health")[1]["answers"] and time.monotonic() < deadline:
        time.sleep(0.02)
    facts = embedded.call("GET", "/health")[1]
    assert (facts["answers"], facts["cancelled"]) == (0, before + 1)


def test_without_the_answering_process_the_error_says_so(alices, base_model, settings, monkeypatch, tmp_path):
    monkeypatch.setattr("serving.services.BACKENDS", {"embedded": lambda url, **_: gone(tmp_path)})
    with pytest.raises(openai.InternalServerError) as caught:
        alices.chat.completions.create(model="tiny", **SHORT)
    assert caught.value.code == "backend_unavailable"
    assert caught.value.status_code == 503


def gone(tmp_path):
    return EmbeddedBackend(f"unix://{tmp_path}/nobody.sock", wait_seconds=0.1)


def test_an_answer_that_breaks_off_is_an_error_in_the_stream(alices, base_model, settings):
    script = Script(pieces=[chunk("tiny", ""), chunk("tiny", "Hel")], ends="breaks")
    texts = []
    with MockServer(lambda asked: script) as server, pytest.raises(openai.APIError) as caught:
        settings.EMBEDDED_URL = server.url
        for piece in alices.chat.completions.create(model="tiny", stream=True, **SHORT):
            texts.append(piece.choices[0].delta.content)
    assert texts == ["", "Hel"]
    assert caught.value.code == "answer_broke_off"


def test_a_fault_of_ours_is_an_error_object_without_its_insides(alices, base_model, monkeypatch):
    monkeypatch.setattr("serving.services.BACKENDS", {})
    with pytest.raises(openai.InternalServerError) as caught:
        alices.chat.completions.create(model="tiny", **SHORT)
    assert caught.value.type == "server_error"
    assert "embedded" not in caught.value.message
    assert caught.value.response.headers["x-request-id"] in caught.value.message


def test_a_kept_checkpoint_answers_by_its_own_id(alices, mallorys, adapter, tiny, tmp_path):
    shutil.copytree(tiny["two"], tmp_path / "step-2")
    make_checkpoint(adapter.job, tmp_path / "step-2", step=2)
    kept = keep_checkpoint(job=adapter.job, step=2)
    assert kept.model_id == f"{adapter.model_id}:ckpt-step-2"
    assert kept.model_id in [model.id for model in alices.models.list()]
    texts = [
        alices.chat.completions.create(model=name, **SHORT).choices[0].message.content
        for name in (adapter.model_id, kept.model_id)
    ]
    assert all(texts) and texts[0] != texts[1]
    with pytest.raises(openai.NotFoundError):
        mallorys.chat.completions.create(model=kept.model_id, **SHORT)


def test_a_checkpoint_answers_by_its_name_although_nobody_kept_it(alices, mallorys, adapter, tiny, tmp_path):
    shutil.copytree(tiny["two"], tmp_path / "step-2")
    checkpoint = make_checkpoint(adapter.job, tmp_path / "step-2", step=2)
    name = f"{adapter.model_id}:ckpt-step-2"
    raw_answer = alices.chat.completions.with_raw_response.create(model=name, **SHORT)
    assert raw_answer.headers["x-apex-lineage"] == f"job={adapter.job_id}; step=2"
    answer = raw_answer.parse()
    assert answer.model == name and answer.choices[0].message.content
    checkpoint.refresh_from_db()
    assert checkpoint.tried_at is not None
    for client, wrong in (
        (mallorys, name),
        (alices, name[:-1] + "3"),
        (alices, name.replace(":coach", ":x")),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=wrong, **SHORT)
        assert caught.value.code == "model_not_found"


def test_a_checkpoint_is_called_by_the_name_that_its_job_will_leave(alice, base_model):
    version = make_version(alice)
    job = TrainingJob.objects.create(
        owner=alice, name="My tutor", dataset_version=version, base_model=base_model
    )
    checkpoint = Checkpoint.objects.create(
        job=job, token=1, step=7, directory_sha256="0" * 64, reason="interval"
    )
    assert model_id_of(job) == model_id_of(job) == f"ft:tiny:alice:my-tutor:{job.pk.hex[:8]}"
    assert checkpoint_called(alice, f"{model_id_of(job)}:ckpt-step-7") == checkpoint
    assert checkpoint_called(alice, f"{model_id_of(job)}:ckpt-step-8") is None


def test_an_alias_is_listed_and_answers(alices, mallorys, alice, base_model):
    create_alias(owner=alice, name="gpt-4o-mini", base_model=base_model)
    assert "gpt-4o-mini" in [model.id for model in alices.models.list()]
    assert alices.models.retrieve("gpt-4o-mini").object == "model"
    answer = alices.chat.completions.create(model="gpt-4o-mini", **SHORT)
    assert answer.model == "gpt-4o-mini"
    assert answer.choices[0].message.content == (
        alices.chat.completions.create(model="tiny", **SHORT).choices[0].message.content
    )
    with pytest.raises(openai.NotFoundError):
        mallorys.chat.completions.create(model="gpt-4o-mini", **SHORT)
