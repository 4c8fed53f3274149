"""`/v1/embeddings` by the official client and by hand, to servers that make vectors and to models that cannot."""

import base64
import json
import struct

import openai
import pytest

from ledger.models import UsageLine
from serving import reconcile
from serving.models import Node
from tests.gateway.conftest import client_for
from tests.gateway.hot import client_of
from tests.gateway.openai_client import Program
from tests.gateway.test_batches import create, rows_of, run
from tests.gateway.test_hot_path import rows
from tests.serving.conftest import no_nudges  # noqa: F401 - a fixture
from tests.serving.embedding_server import CHATTER, MODEL, SIZE, running_embedder, vector_of
from tests.serving.factories import make_base_model, make_node
from tests.serving.fake_ollama import running_ollama

PATH = "/v1/embeddings"


def serve(server_url: str, name: str, served_name: str, backend: str, tmp_path) -> Node:
    """A base model that is on no machine of ours, on a server that was found up."""
    base = make_base_model(tmp_path, name=name)
    base.is_on_this_machine = False
    base.save()

    class Server:
        url, served_name = server_url, ""

    Server.served_name = served_name
    node = make_node(Server, base, name=f"server-of-{name}", backend=backend)
    reconcile.reconcile()
    node.refresh_from_db()
    assert (node.health, node.most_adapters) == ("up", 0), node.problem
    return node


@pytest.fixture
def embedder(bare_site, no_nudges, tmp_path):  # noqa: F811
    with running_embedder() as server:
        node = serve(f"{server.url}/v1", "reader", MODEL, "openai_compatible", tmp_path)
        assert node.address == f"{server.url}/v1"
        yield server


@pytest.fixture
def alices(bare_site, alice):
    return client_for(bare_site, alice)


@pytest.mark.parametrize("given", ["One text", ["One text", "another"], [3, 5, 8], [[3, 5], [8]]])
def test_texts_and_token_ids_become_vectors(embedder, alices, given):
    many = (
        given
        if isinstance(given[0], list) or (isinstance(given, list) and isinstance(given[0], str))
        else [given]
    )
    wanted = [vector_of(one) for one in many]
    # The client asks for base64 by itself, and reads it as it is meant.
    by_default = alices.embeddings.create(model="reader", input=given)
    assert embedder.asked[-1] == {"model": MODEL, "input": given, "encoding_format": "base64"}
    in_floats = alices.embeddings.create(model="reader", input=given, encoding_format="float")
    for answer in (by_default, in_floats):
        assert [one.embedding for one in answer.data] == [pytest.approx(one, rel=1e-6) for one in wanted]
        assert [one.index for one in answer.data] == list(range(len(many)))
        assert (answer.model, answer.object) == ("reader", "list")
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_base64_comes_as_the_bytes_of_float32(embedder, alices):
    # The client leaves what was asked for in base64 as it came.
    answer = alices.embeddings.create(model="reader", input="x", encoding_format="base64", dimensions=4)
    told = struct.unpack("<4f", base64.b64decode(answer.data[0].embedding))
    assert list(told) == vector_of("x", 4) and embedder.asked[-1]["dimensions"] == 4


def test_what_the_server_refuses_is_told_and_what_it_took_is_written_down(embedder, bare_site, alice):
    client = client_of(bare_site, alice)
    status, error = client.error({"model": "reader", "input": "x", "dimensions": SIZE + 1}, PATH)
    assert (status, error["param"]) == (400, "dimensions")
    status, headers, _ = client.ask({"model": "reader", "input": "two words", "user": "u"}, PATH)
    assert status == 200 and headers["x-apex-lineage"].startswith("base-model=")
    assert embedder.asked[-1] == {"model": MODEL, "input": "two words"}
    use = rows(2)[-1]
    assert (use.activity, use.input_tokens, use.output_tokens) == ("embeddings", 2, 0)
    assert not use.is_estimated and not use.is_stream


BAD = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["x", ""]}, "input[1]"),
    ({"input": ["x", 5]}, "input[1]"),
    ({"input": [5, "x"]}, "input"),
    ({"input": [True]}, "input"),
    ({"input": [-1]}, "input"),
    ({"input": {"text": "x"}}, "input"),
    ({"input": None}, "input"),
    ({"input": ["x"] * 2049}, "input"),
    ({"input": "x", "dimensions": 0}, "dimensions"),
    ({"input": "x", "dimensions": "4"}, "dimensions"),
    ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
    ({"input": "x", "encoding_format": []}, "encoding_format"),
    ({"input": "x", "stream": True}, "stream"),
    ({"input": "x", "truncate_prompt_tokens": 1}, "truncate_prompt_tokens"),
]


def test_a_bad_request_is_refused_and_the_next_one_answered(embedder, bare_site, alice):
    client = client_of(bare_site, alice)
    for given, param in BAD:
        status, error = client.error({"model": "reader"} | given, PATH)
        assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error"), given
        assert not embedder.asked
        assert client.ask({"model": "reader", "input": "x"}, PATH)[0] == 200
        embedder.asked.clear()


def test_a_model_that_makes_no_vectors_says_so_with_its_name(embedder, bare_site, alice, tmp_path, settings):
    settings.EMBEDDED_URL = "http://127.0.0.1:9"
    make_base_model(tmp_path)  # answered by the process that comes along, which makes none
    serve(embedder.url, "talker", CHATTER, "openai_compatible", tmp_path)
    client = client_of(bare_site, alice)
    for name in ("tiny", "talker"):
        status, error = client.error({"model": name, "input": "x"}, PATH)
        assert (status, error["code"], error["param"]) == (400, "unsupported_endpoint", "model")
        assert f"`{name}`" in error["message"]
    assert client.error({"model": "nobody", "input": "x"}, PATH)[0] == 404
    # A server without the address at all, as one for chats alone.
    status, error = client.error({"model": "reader", "prompt": "x"}, "/v1/completions")
    assert (status, error["code"]) == (400, "unsupported_endpoint") and "`reader`" in error["message"]


def test_ollama_makes_vectors_of_texts(bare_site, alices, no_nudges, tmp_path):  # noqa: F811
    with running_ollama() as fake:
        fake.models["nomic-embed-text:latest"] = {}
        serve(fake.url, "nomic", "nomic-embed-text:latest", "ollama", tmp_path)
        answer = alices.embeddings.create(model="nomic", input=["a", "b"])
        assert [one.embedding for one in answer.data] == [pytest.approx(vector_of(one)) for one in "ab"]
        assert answer.model == "nomic" and answer.usage.prompt_tokens == 2
        with pytest.raises(openai.BadRequestError) as refused:
            alices.embeddings.create(model="nomic", input=[1, 2])
        assert refused.value.param == "input" and "nomic" in refused.value.message
        serve(fake.url, "llama", "llama3.2:latest", "ollama", tmp_path)
        with pytest.raises(openai.BadRequestError) as refused:
            alices.embeddings.create(model="llama", input="x")
        assert refused.value.code == "unsupported_endpoint" and "`llama`" in refused.value.message
        assert alices.chat.completions.create(
            model="llama", messages=[{"role": "user", "content": "Hi"}], stream=True
        )


def test_vectors_come_by_a_batch(embedder, alice, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    program = Program(alice)
    asked = [
        {"input": ["a b", "c"], "encoding_format": "base64"},
        {"input": [4, 5]},
        {"input": "x", "dimensions": 99},
    ]
    lines = [
        {"custom_id": f"e{index}", "method": "POST", "url": PATH, "body": {"model": "reader"} | body}
        for index, body in enumerate(asked)
    ]
    batch = create(program, lines, endpoint=PATH)
    run(batch)
    done = program.get(f"batches/{batch['id']}")[1]
    assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    first, second = (row["response"] for row in rows_of(program, done["output_file_id"]))
    assert first["body"]["model"] == "reader" and isinstance(first["body"]["data"][1]["embedding"], str)
    assert second["body"]["data"][0]["embedding"] == vector_of([4, 5])
    assert second["x_apex_lineage"].startswith("base-model=")
    bad = rows_of(program, done["error_file_id"])[0]["response"]
    assert (bad["status_code"], bad["body"]["error"]["param"]) == (400, "dimensions")
    assert done["usage"]["input_tokens"] == 5 and json.dumps(done["usage"])
    uses = UsageLine.objects.order_by("pk")
    assert [(use.activity, use.status, use.input_tokens) for use in uses] == [
        ("embeddings", 200, 3), ("embeddings", 200, 2), ("embeddings", 400, None),
    ]  # fmt: skip
