"""What nobody should send: each gets the right 4xx with an error object, and the server answers the next request."""

import json
import socket
import time

import pytest

from base_models.models import BaseModel
from gateway.hot import exchange
from serving.models import Health, Node
from serving.node_services import add_node
from tests.gateway.hot import CHAT, HELLO, Client, client_of
from tests.gateway.mock_server import Script
from tests.gateway.test_hot_path import alices, mock  # noqa: F401 - fixtures
from tests.serving.factories import make_adapter_row

TEXT = {"role": "user", "content": "Hi"}


def with_messages(*messages) -> dict:
    return HELLO | {"messages": list(messages)}


BAD = {
    "no JSON": (b"{broken", 400, None),
    "nothing": (b"", 400, None),
    "a list": (b"[]", 400, None),
    "a number": (b"5", 400, None),
    "null": (b"null", 400, None),
    "no text": (b'{"model": "tiny", "messages": "\xff\xfe"}', 400, None),
    "deep lists": (b'{"model": "tiny", "messages": ' + b"[" * 100_000, 400, None),
    "deep closed lists": (b'{"model": "tiny", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, None),
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, None),
    "not a number": (b'{"model": "tiny", "messages": [], "temperature": NaN}', 400, "messages"),
    "endless": (b'{"model":"tiny","messages":[{"role":"user","content":"a"}],"temperature":1e999}', 400, "temperature"),
    "very long number": (b'{"model": "tiny", "messages": [], "seed": ' + b"9" * 6000 + b"}", 400, None),
    "half a pair": (
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "messages[0].content",
    ),
    "half a pair in a key": (b'{"model": "tiny", "\\udc00": 1, "messages": []}', 400, "?"),
    "half a pair in a hint": (
        b'{"model": "tiny", "user": "\\ud800", "messages": [{"role": "user", "content": "a"}]}', 400, None,
    ),
    "no model": ({"messages": [TEXT]}, 400, "model"),
    "model null": (HELLO | {"model": None}, 400, "model"),
    "model number": (HELLO | {"model": 5}, 400, "model"),
    "model list": (HELLO | {"model": ["tiny"]}, 400, "model"),
    "model empty": (HELLO | {"model": ""}, 400, "model"),
    "model with NUL": (HELLO | {"model": "tiny\x00"}, 400, "model"),
    "model path": (HELLO | {"model": "../../etc/passwd"}, 404, "model"),
    "model absolute": (HELLO | {"model": "/etc/passwd"}, 404, "model"),
    "model encoded path": (HELLO | {"model": "..%2f..%2ftiny"}, 404, "model"),
    "model with a line": (HELLO | {"model": "tiny\r\nx-evil: 1"}, 404, "model"),
    "model of SQL": (HELLO | {"model": "' OR 1=1 --"}, 404, "model"),
    "model very long": (HELLO | {"model": "m" * 1_000_000}, 404, "model"),
    "model unicode": (HELLO | {"model": "tiný🌍"}, 404, "model"),
    "a file's name": (HELLO | {"model": "file:///etc/passwd"}, 404, "model"),
    "an address": (HELLO | {"model": "http://169.254.169.254/"}, 404, "model"),
    "unknown parameter": (HELLO | {"top_k": 5}, 400, "top_k"),
    "vLLM's own template": (HELLO | {"chat_template": "{{ 1 }}"}, 400, "chat_template"),
    "vLLM's own prompts": (HELLO | {"prompt_embeds": "gASV"}, 400, "prompt_embeds"),
    "a key of a megabyte": (HELLO | {"k" * 1_000_000: 1}, 400, "k" * 80),
    "no messages": ({"model": "tiny"}, 400, "messages"),
    "messages empty": (with_messages(), 400, "messages"),
    "messages text": (HELLO | {"messages": "Hi"}, 400, "messages"),
    "message null": (with_messages(None), 400, "messages[0]"),
    "role list": (with_messages({"role": [], "content": "x"}), 400, "messages[0].role"),
    "content number": (with_messages({"role": "user", "content": 5}), 400, "messages[0].content"),
    "an image": (
        with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}),
        400, "messages[0].content[0]",
    ),
    "stream text": (HELLO | {"stream": "yes"}, 400, "stream"),
    "temperature": (HELLO | {"temperature": 9}, 400, "temperature"),
    "temperature true": (HELLO | {"temperature": True}, 400, "temperature"),
    "max_tokens": (HELLO | {"max_tokens": -1}, 400, "max_tokens"),
    "max_tokens beyond all numbers": (HELLO | {"max_tokens": 10**30}, 400, "max_tokens"),
    "n": (HELLO | {"n": 10**9}, 400, "n"),
    "stop": (HELLO | {"stop": [[]]}, 400, "stop"),
    "tools": (HELLO | {"tools": [TEXT]}, 400, "tools"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_and_the_next_one_answered(mock, alices, name):  # noqa: F811
    body, status, param = BAD[name]
    told, error = alices.error(body)
    assert (told, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    assert not mock.asked
    assert alices.ask(HELLO)[0] == 200


def test_a_strangers_token_asks_in_vain(mock, bare_site, alice):  # noqa: F811
    for token in ("", "apex_", "apex_" + "0" * 64, "x" * 10_000, "ü" * 30, "apex_\t"):
        told, error = Client(bare_site, token.encode().decode("latin-1")).error(HELLO)
        assert (told, error["code"]) == (401, "invalid_api_key")
    client = client_of(bare_site, alice, scopes=["read"])
    told, error = client.error(HELLO)
    assert (told, error["code"]) == (403, "missing_scope")
    assert not mock.asked


def test_a_huge_body_is_refused_before_it_is_kept(mock, alices):  # noqa: F811
    told, error = alices.error(b" " * (exchange.MAX_BODY_BYTES + 1))
    assert (told, error["code"]) == (413, "too_large")
    client = Client(alices.site.geturl(), alices.token)
    assert client.ask(HELLO)[0] == 200


def test_a_body_that_is_never_finished_is_not_waited_for(mock, alices, monkeypatch):  # noqa: F811
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.3)
    slow = socket.create_connection((alices.site.hostname, alices.site.port))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {alices.token}\r\ncontent-length: 100\r\n\r\n{{"
    slow.sendall(head.encode())
    began = time.monotonic()
    # Others are answered meanwhile.
    assert alices.ask(HELLO)[0] == 200
    slow.settimeout(10)
    answer = b""
    while piece := slow.recv(65536):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 408") and b"request_timeout" in answer
    assert time.monotonic() - began < 3


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(mock, alices):  # noqa: F811
    gone = socket.create_connection((alices.site.hostname, alices.site.port))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {alices.token}\r\ncontent-length: 100\r\n\r\n{{"
    gone.sendall(head.encode())
    time.sleep(0.1)
    gone.close()
    assert alices.ask(HELLO)[0] == 200


def test_other_peoples_models_look_like_missing_ones(mock, bare_site, alice, mallory, tmp_path):  # noqa: F811
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    adapter = make_adapter_row(alice, BaseModel.objects.get(), tmp_path / "adapter")
    mallorys = client_of(bare_site, mallory)
    told = [mallorys.error(HELLO | {"model": name}) for name in (adapter.model_id, adapter.model_id + "0")]
    assert [status for status, _ in told] == [404, 404]
    first, second = (error["message"] for _, error in told)
    assert first.replace(adapter.model_id, "…") == second.replace(adapter.model_id + "0", "…")
    assert client_of(bare_site, alice).ask(HELLO | {"model": adapter.model_id})[0] == 200
    # Who was let in a moment ago does not let others in.
    assert mallorys.error(HELLO | {"model": adapter.model_id})[0] == 404


def test_a_server_cannot_be_made_to_say_its_own_name_of_a_model(mock, alices):  # noqa: F811
    refusal = {"error": {"message": "tiny is tired", "type": "x", "param": None, "code": "tired"}}
    mock.answer = lambda asked: Script(status=400, pieces=[json.dumps(refusal).encode()], is_chunked=False)
    told, error = alices.error(HELLO)
    assert (told, error["message"]) == (400, "tiny is tired")


def test_what_nests_as_deep_as_can_be_read_is_refused_wherever_it_goes(mock, alices):  # noqa: F811
    """To servers with an address of their own a body goes through another writer, which gives up sooner."""
    at_server(mock, "/own")
    for depth in (20, *range(100, 1200, 25)):
        schema = b'{"a":' * depth + b"1" + b"}" * depth
        told, _, content = alices.ask(
            b'{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":'
            b'{"name":"f","parameters":' + schema + b"}}]}"
        )
        assert told == (200 if depth < 50 else 400), (depth, content)
    assert mock.asked[-1].path == "/own/chat/completions"


def test_nobody_is_told_where_in_the_house_a_server_stands(mock, alices):  # noqa: F811
    at_server(mock)
    for status in (500, 401, 302):
        mock.answer = lambda asked, status=status: Script(status=status, pieces=[b"boom"], is_chunked=False)
        told, error = alices.error(HELLO)
        assert told == 502 and "127.0.0.1" not in error["message"] and str(mock.port) not in error["message"]
        assert error["message"].startswith("The server ")


def at_server(mock, path: str = "") -> None:  # noqa: F811
    """Lets the base model be answered by a server of its own."""
    node = add_node(
        name="own", address=mock.url + path, base_model=BaseModel.objects.get(), backend="openai_compatible"
    )
    Node.objects.filter(pk=node.pk).update(health=Health.UP)
