"""A question through a real uvicorn to a server that a test plays: bytes, streams, who leaves, what is tried again."""

import json
import random
import socket
import threading
import time

import pytest

from apex.asgi import application
from base_models.models import BaseModel
from gateway.models import ModelAlias
from ledger.models import UsageLine
from serving.backends.vllm import VllmBackend
from tests.gateway.conftest import running
from tests.gateway.hot import CHAT, HELLO, client_of
from tests.gateway.mock_server import DONE, MockServer, Script, chunk, event, usage_chunk, whole
from tests.serving.factories import make_adapter_row, make_base_model

PIECES = [
    chunk("tiny", ""),
    *[chunk("tiny", f"wörd {number} ") for number in range(40)],
    chunk("tiny", "", "stop"),
]
STREAM = b"".join(PIECES)
OK = Script(pieces=[b"Success"], is_chunked=False)


@pytest.fixture
def mock(bare_site, settings, tmp_path):
    """A server in the place of the answering process, which says hello until it is told otherwise."""
    make_base_model(tmp_path)
    with MockServer(lambda asked: whole("tiny")) as server:
        settings.EMBEDDED_URL = server.url
        yield server


@pytest.fixture
def alices(bare_site, alice):
    return client_of(bare_site, alice)


def cut(stream: bytes, seed: int) -> list[bytes]:
    """The same bytes in pieces of any size, as networks deliver them."""
    places = sorted(random.Random(seed).sample(range(1, len(stream)), 60))
    return [stream[begin:end] for begin, end in zip([0, *places], [*places, len(stream)], strict=True)]


def rows(count: int) -> list[UsageLine]:
    deadline = time.monotonic() + 5
    while UsageLine.objects.count() < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return list(UsageLine.objects.order_by("at"))


# --- what goes on and what comes back -----------------------------------------------------------------------------


def test_a_body_goes_on_in_its_own_bytes(mock, alices):
    body = (
        b'{ "user": "u", "temperature" :  0.70, "model": "tiny", "store": true, "n": null, "max_tokens": 5,'
        b'\n "messages": [ {"content": "\\u00fc \xf0\x9f\x8c\x8d", "role": "user"} ] }'
    )
    status, headers, _ = alices.ask(body)
    assert status == 200 and headers["content-type"] == "application/json"
    asked = mock.asked[-1]
    assert asked.path == CHAT and asked.headers["x-request-id"] == headers["x-request-id"]
    assert "authorization" not in asked.headers  # a person's token is for us alone
    assert asked.body == {
        "temperature": 0.7, "model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "ü 🌍"}],
    }  # fmt: skip


def test_roles_and_parts_that_templates_do_not_know_are_put_into_words(mock, alices):
    messages = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}],
        },
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": "Hello.", "refusal": None, "annotations": []},
        {"role": "user", "content": "Bye"},
    ]
    assert alices.ask(HELLO | {"messages": messages})[0] == 200
    assert mock.asked[-1].body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye"},
    ]


def test_tools_choices_formats_and_the_rest_go_on_as_they_came(mock, alices, monkeypatch):
    """To a server that can; what is called comes back byte by byte."""
    monkeypatch.setattr("serving.services.BACKENDS", {"embedded": lambda url, **_: VllmBackend(url)})
    function = {"name": "capital", "parameters": {"type": "object", "properties": {"of": {"type": "string"}}}}
    call = {"id": "c1", "type": "function", "function": {"name": "capital", "arguments": '{"of": "Türkiye"}'}}
    asked = {
        "messages": [
            {"role": "user", "content": "Which?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "Ankara", "tool_call_id": "c1"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "capital"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "n": 2, "logprobs": True, "top_logprobs": 3, "seed": 7, "stop": ["\n"], "logit_bias": {"5": -1},
    }  # fmt: skip
    delta = {"tool_calls": [{"index": 0, **call}]}
    pieces = [event({"model": "tiny", "choices": [{"index": i, "delta": delta}]}) for i in (0, 1)]
    mock.answer = lambda _asked: Script(pieces=[*pieces, DONE])
    status, _, content = alices.ask({"model": "tiny", "stream": True} | asked)
    assert status == 200 and content == b"".join(pieces) + DONE
    sent = mock.asked[-1].body
    assert {name: sent[name] for name in asked} == asked


def test_an_answer_comes_back_in_the_servers_bytes_under_the_name_that_was_asked(mock, alices, alice):
    status, headers, content = alices.ask(HELLO)
    assert content == whole("tiny").pieces[0]
    assert headers["x-apex-lineage"].startswith("base-model=")
    ModelAlias.objects.create(owner=alice, name="gpt-4o-mini", base_model=BaseModel.objects.get())
    status, _, content = alices.ask(HELLO | {"model": "gpt-4o-mini"})
    assert status == 200
    assert content == whole("tiny").pieces[0].replace(b'"model": "tiny"', b'"model": "gpt-4o-mini"')
    assert mock.asked[-1].body["model"] == "tiny"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_comes_through_byte_by_byte_however_it_is_cut(mock, alices, seed, with_usage):
    counted = usage_chunk("tiny", 7, 40)
    mock.answer = lambda asked: Script(pieces=cut(STREAM + counted + DONE, seed), pause=0.0005)
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    status, headers, content = alices.ask(HELLO | {"stream": True} | options)
    assert status == 200 and headers["content-type"] == "text/event-stream; charset=utf-8"
    assert content == STREAM + (counted if with_usage else b"") + DONE
    assert mock.asked[-1].body["stream_options"] == {"include_usage": True}
    (row,) = rows(1)
    assert (row.input_tokens, row.output_tokens, row.is_estimated) == (7, 40, False)


def test_a_chunk_arrives_before_the_next_one_is_written(mock, alices):
    arrived = []
    pieces = [*PIECES[:5], DONE]
    mock.answer = lambda asked: Script(pieces=pieces, may_write=lambda number: number <= len(arrived))
    response = alices.open(HELLO | {"stream": True})
    for _ in pieces:
        arrived.append(response.readline() + response.readline())
    assert arrived == pieces and response.read() == b""


def test_connections_to_the_server_are_kept(mock, alices):
    for _ in range(10):
        assert alices.ask(HELLO)[0] == 200
    assert mock.connections == 1


def test_many_at_once_get_their_own_answers(mock, bare_site, alice):
    mock.answer = lambda asked: whole("tiny", text=asked.body["messages"][0]["content"])
    wrong = []

    def ask(number: int) -> None:
        client = client_of(bare_site, alice)
        for turn in range(10):
            text = f"{number}-{turn}"
            _, _, content = client.ask(HELLO | {"messages": [{"role": "user", "content": text}]})
            if json.loads(content)["choices"][0]["message"]["content"] != text:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(mock.asked) == 80


# --- who leaves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_server_within_a_tenth_of_a_second(mock, bare_site, alice, stream):
    begun = PIECES[:3] if stream else []
    mock.answer = lambda asked: Script(pieces=begun, ends="hangs", is_chunked=stream)
    body = json.dumps(HELLO | {"stream": stream})
    noticed = []
    # Once is enough: where other work keeps the machine from it for a moment, it is tried again.
    while (not noticed or noticed[-1] >= 0.1) and len(noticed) < 5:
        client = client_of(bare_site, alice)
        headers = {"authorization": f"Bearer {client.token}", "content-type": "application/json"}
        client.connection.request("POST", CHAT, body, headers)
        if stream:
            client.connection.getresponse().readline()
        wait_until(lambda: len(mock.asked) > len(noticed))
        time.sleep(0.1)
        client.connection.sock.shutdown(socket.SHUT_RDWR)
        left_at = time.monotonic()
        wait_until(lambda: mock.asked[-1].left_at)
        noticed.append(mock.asked[-1].left_at - left_at)
    assert noticed[-1] < 0.1, noticed
    row = rows(len(noticed))[-1]
    assert row.status == 499
    assert row.is_estimated and row.input_tokens


def wait_until(condition, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# --- what goes wrong at the server -----------------------------------------------------------------------------------


def test_a_kept_connection_that_the_server_closed_is_not_noticed(mock, alices):
    assert alices.ask(HELLO)[0] == 200
    answers = iter([Script(ends="silent"), whole("tiny")])
    mock.answer = lambda asked: next(answers)
    assert alices.ask(HELLO)[0] == 200
    assert [asked.path for asked in mock.asked] == [CHAT] * 3


def test_a_model_that_is_not_loaded_yet_is_loaded_and_asked_again(mock, alices):
    missing = {"error": {"message": "no tiny", "type": "x", "param": "model", "code": "model_not_found"}}
    loaded = []

    def answer(asked):
        if asked.path == "/v1/load_base_model":
            loaded.append(asked.body["name"])
            return OK
        return (
            whole("tiny")
            if loaded
            else Script(status=404, pieces=[json.dumps(missing).encode()], is_chunked=False)
        )

    mock.answer = answer
    assert alices.ask(HELLO)[0] == 200
    assert loaded == ["tiny"]


def test_a_server_that_breaks_off_a_whole_answer_is_asked_again(mock, alices):
    script = whole("tiny")
    half = Script(pieces=[script.pieces[0][:20]], ends="breaks")
    answers = iter([half, script])
    mock.answer = lambda asked: next(answers) if asked.path == CHAT else OK
    assert alices.ask(HELLO)[0] == 200


def test_a_stream_that_breaks_off_ends_with_an_error_and_no_half_event(mock, alices):
    mock.answer = lambda asked: Script(pieces=[*PIECES[:3], PIECES[3][:9]], ends="breaks")
    _, _, content = alices.ask(HELLO | {"stream": True})
    assert content.startswith(b"".join(PIECES[:3]) + b'data: {"error"')
    assert b"answer_broke_off" in content and content.endswith(DONE)
    (row,) = rows(1)
    assert row.is_estimated and row.input_tokens is None


def test_an_error_in_a_stream_passes_as_it_is(mock, alices):
    error = event(
        {"error": {"message": "memory", "type": "server_error", "param": None, "code": "out_of_memory"}}
    )
    mock.answer = lambda asked: Script(pieces=[*PIECES[:2], error, DONE])
    assert alices.ask(HELLO | {"stream": True})[2] == b"".join(PIECES[:2]) + error + DONE


def test_what_is_no_http_is_an_error_of_ours(mock, alices, monkeypatch):
    odd = Script(headers={"bad header": "x"}, pieces=[b"x"])
    mock.answer = lambda asked: odd if asked.path == CHAT else OK
    status, error = alices.error(HELLO)
    assert (status, error["code"]) == (503, "backend_unavailable")
    mock.answer = lambda asked: whole("tiny")
    assert alices.ask(HELLO)[0] == 200


def test_a_backend_that_looks_at_every_address_itself_is_asked_by_its_own_way(mock, alices, monkeypatch):
    class Guarded(VllmBackend):
        def wire(self):
            return None

    monkeypatch.setattr("serving.services.BACKENDS", {"embedded": lambda url, **_: Guarded(url)})
    assert alices.ask(HELLO)[2] == whole("tiny").pieces[0]
    mock.answer = lambda asked: Script(pieces=cut(STREAM + usage_chunk("tiny", 7, 40) + DONE, 1))
    assert alices.ask(HELLO | {"stream": True})[2] == STREAM + DONE
    assert [row.output_tokens for row in rows(2)] == [2, 40]


# --- what is written down -------------------------------------------------------------------------------------------


def test_a_row_tells_who_asked_what_and_what_it_took(mock, alices, alice):
    status, headers, _ = alices.ask(HELLO)
    alices.ask(HELLO | {"model": "nobodys"})
    good, bad = rows(2)
    assert (good.owner, good.model, good.status, good.activity) == (alice, "tiny", 200, "chat")
    assert (good.input_tokens, good.output_tokens, good.is_estimated) == (5, 2, False)
    assert good.reference == headers["x-request-id"]
    assert 0 < good.first_byte_ms <= good.latency_ms < 10_000
    assert (bad.model, bad.status, bad.input_tokens) == ("nobodys", 404, None)


def test_an_adapters_answer_names_its_lineage_in_the_header_and_in_the_row(mock, alices, alice, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    adapter = make_adapter_row(alice, BaseModel.objects.get(), tmp_path / "adapter")
    _, headers, _ = alices.ask(HELLO | {"model": adapter.model_id})
    assert headers["x-apex-lineage"] == (
        f"adapter={adapter.pk}; job={adapter.job_id}; dataset-version={adapter.dataset_version_id}"
    )
    (row,) = rows(1)
    assert row.adapter_id == adapter.pk
    lineage = headers["x-apex-lineage"]
    # Streamed, and refused by the server that has the model, it says the same.
    mock.answer = lambda asked: Script(pieces=[chunk(adapter.model_id, "Hi", "stop"), DONE])
    _, headers, _ = alices.ask(HELLO | {"model": adapter.model_id, "stream": True})
    assert headers["x-apex-lineage"] == lineage
    mock.answer = lambda asked: Script(status=400, pieces=[b'{"error": {"message": "no"}}'], is_chunked=False)
    status, headers, _ = alices.ask(HELLO | {"model": adapter.model_id})
    assert (400 <= status < 600) and headers["x-apex-lineage"] == lineage


def test_what_was_used_is_written_down_when_the_server_stops(transactional_db, settings, alice, tmp_path):
    make_base_model(tmp_path)
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with MockServer(lambda asked: whole("tiny")) as server:
        settings.EMBEDDED_URL = server.url
        with running(application) as site:
            client = client_of(site, alice)
            for _ in range(3):
                client.ask(HELLO)
            client.connection.close()
    assert UsageLine.objects.count() == 3
