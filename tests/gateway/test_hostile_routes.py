"""Every other address below /v1: tricks in names, wrong types, huge and broken bodies, and the request behind them."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from accounts.services import create_token
from gateway import asking
from gateway.models import Batch, FineTune
from tests.gateway.hot import HELLO
from tests.gateway.test_hot_path import mock  # noqa: F401 - a fixture

NAMES = [
    "../x", "..%2fx", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a/b", "a%2fb", "%00", "x%00y", "%ff%fe", "%c3%28",
    "%", "%zz", "x" * 10_000, "file-" + "0" * 32, "file-" + "F" * 32, "batch_" + "0" * 32, "ftjob-" + "0" * 32,
    "%0d%0ax-evil:%201", "%20", "%25", "*", "' OR 1=1 --".replace(" ", "%20"), "%f0%9f%92%a9", "ft:tiny:alice:x:0",
    "ft:tiny:alice:x:0:ckpt-step-99999999999999999999", "checkpoint:0:1", "-1", "%ed%a0%80",
]  # fmt: skip
PLACES = [
    ("GET", "models/{}"), ("DELETE", "models/{}"),
    ("GET", "files/{}"), ("DELETE", "files/{}"), ("GET", "files/{}/content"),
    ("GET", "fine_tuning/jobs/{}"), ("GET", "fine_tuning/jobs/{}/events"), ("GET", "fine_tuning/jobs/{}/checkpoints"),
    ("POST", "fine_tuning/jobs/{}/cancel"), ("POST", "fine_tuning/jobs/{}/pause"),
    ("POST", "fine_tuning/jobs/{}/resume"), ("GET", "batches/{}"), ("POST", "batches/{}/cancel"),
    ("GET", "files?after={}"), ("GET", "files?limit={}"), ("GET", "batches?after={}"), ("GET", "batches?limit={}"),
    ("GET", "fine_tuning/jobs?after={}"), ("GET", "fine_tuning/jobs?limit={}"), ("GET", "files?order={}"),
]  # fmt: skip
BODIES = [
    b"", b"{broken", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b'{"model": "\\ud800"}', b'{"\\ud800": 1}', b'{"model": NaN}', b'{"model": "a\\u0000b"}', b'{"x": "\\u0000"}',
    b'{"k": ' + b"9" * 6000 + b"}", b'{"' + b"k" * 100_000 + b'": 1}', b'{"model": {"a": []}}', b'{"model": 5}',
    b'{"model": "../../x", "training_file": "../x"}', b'{"input_file_id": "../x", "endpoint": "/v1/../x"}',
]  # fmt: skip
POSTS = ["completions", "embeddings", "fine_tuning/jobs", "batches", "files"]


class Raw:
    """Paths go as they are; a kept connection, so that the next request is on the one that was treated badly."""

    def __init__(self, site: str, token: str):
        self.site, self.token = urlsplit(site), token
        self.connection = http.client.HTTPConnection(self.site.hostname, self.site.port, timeout=30)
        self.connection._validate_path = lambda path: None

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json"):
        headers = {"authorization": f"Bearer {self.token}", "content-type": kind}
        self.connection.request(method, f"/v1/{path}", body or None, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.getheader("x-evil") is None
        return answer.status, content

    def refused(self, *asked) -> tuple[int, dict]:
        """Status and error object of what must be a refusal of OpenAI's kind."""
        status, content = self.ask(*asked)
        told = [each if len(each) < 200 else each[:200] for each in asked]
        assert 400 <= status < 500, (told, status, content[:300])
        error = json.loads(content)["error"]
        assert set(error) == {"message", "type", "param", "code"}, told
        assert len(error["message"]) < 1000, (told, len(error["message"]))
        return status, error

    def is_well(self) -> bool:
        return self.ask("GET", "models")[0] == 200


@pytest.fixture
def raw(mock, bare_site, alice):  # noqa: F811
    return Raw(bare_site, create_token(user=alice, name="x", scopes=["read", "write", "chat"])[1])


def test_a_trick_in_a_name_finds_nothing_anywhere(raw):
    for method, place in PLACES:
        for name in NAMES:
            status, content = raw.ask(method, place.format(name))
            if "?" in place and status == 200:  # a name that the address could be read as none
                assert json.loads(content)["data"] == [], (place, name)
                continue
            raw_status, error = raw.refused(method, place.format(name))
            assert raw_status in ((400,) if "?" in place else (400, 404, 405)), (
                method,
                place,
                name[:50],
                raw_status,
            )
            assert "Traceback" not in error["message"]
        assert raw.is_well(), place
    status, error = raw.refused("GET", "nothing/" + "x" * 10_000)
    assert (status, error["code"]) == (404, "unknown_url")


def test_a_body_that_is_none_is_refused_everywhere(raw, mock):  # noqa: F811
    for place in POSTS:
        for body in BODIES:
            for kind in (
                "application/json",
                "text/plain",
                "multipart/form-data; boundary=x",
                "multipart/form-data",
            ):
                status, _error = raw.refused("POST", place, body, kind)
                assert status in (400, 404), (place, body[:40], status)
        assert raw.is_well(), place
    assert not mock.asked and not FineTune.objects.exists() and not Batch.objects.exists()


def test_a_huge_body_is_refused_everywhere(raw):
    huge = b'{"model": "' + b"x" * (asking.MAX_BODY_BYTES + 1) + b'"}'
    for place in ("fine_tuning/jobs", "batches"):
        status, error = raw.refused("POST", place, huge)
        assert (status, error["code"]) == (413, "too_large")
        raw.connection.close()
        assert raw.is_well()


WRONG = {
    "completions": (
        {"model": "tiny", "prompt": "x"},
        [
            ({"prompt": None}, "prompt"), ({"prompt": {}}, "prompt"), ({"prompt": [[]]}, "prompt[0]"),
            ({"prompt": [1, "x"]}, "prompt"), ({"prompt": [-1]}, "prompt"), ({"prompt": [2**40]}, "prompt"),
            ({"n": 0}, "n"), ({"n": "2"}, "n"), ({"best_of": 99}, "best_of"), ({"max_tokens": -1}, "max_tokens"),
            ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"), ({"logprobs": True}, "logprobs"),
            ({"logprobs": 6}, "logprobs"), ({"echo": "yes"}, "echo"), ({"suffix": 5}, "suffix"),
            ({"stop": {"a": 1}}, "stop"), ({"temperature": "hot"}, "temperature"), ({"top_p": 2}, "top_p"),
            ({"seed": 2**70}, "seed"), ({"stream": 1}, "stream"), ({"stream_options": {}}, "stream_options"),
            ({"prompt_logprobs": 5}, "prompt_logprobs"), ({"top_k": 5}, "top_k"), ({"messages": []}, "messages"),
            ({"logit_bias": {"x": 1}}, "logit_bias"), ({"model": "../tiny"}, "model"), ({"model": "tiny/"}, "model"),
        ],
    ),
    "fine_tuning/jobs": (
        {"model": "tiny", "training_file": "file-" + "0" * 32},
        [
            ({}, "training_file"), ({"model": "nobody"}, "model"), ({"model": ["tiny"]}, "model"),
            ({"training_file": 5}, "training_file"), ({"training_file": "../../etc/passwd"}, "training_file"),
            ({"suffix": "x" * 65}, "suffix"), ({"suffix": ["x"]}, "suffix"), ({"seed": -1}, "seed"),
            ({"seed": True}, "seed"), ({"metadata": {"a": 1}}, "metadata"), ({"metadata": []}, "metadata"),
            ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"), ({"method": "dpo"}, "method"),
            ({"method": {"type": "reinforcement"}}, "method.type"), ({"integrations": "wandb"}, "integrations"),
            ({"integrations": [5]}, "integrations[0]"), ({"colour": "red"}, "colour"),
            ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
            ({"hyperparameters": {"n_epochs": 10**9}}, "hyperparameters.n_epochs"),
            ({"hyperparameters": {"batch_size": 0}}, "hyperparameters.batch_size"),
            ({"hyperparameters": []}, "hyperparameters"),
        ],
    ),
    "batches": (
        {"input_file_id": "file-" + "0" * 32, "endpoint": "/v1/completions", "completion_window": "24h"},
        [
            ({}, "input_file_id"), ({"input_file_id": ["x"]}, "input_file_id"), ({"endpoint": "/v1/../x"}, "endpoint"),
            ({"endpoint": "http://evil/"}, "endpoint"), ({"completion_window": 24}, "completion_window"),
            ({"metadata": {"a": "x" * 513}}, "metadata"), ({"output_expires_after": 5}, "output_expires_after.anchor"),
            ({"priority": 1}, "priority"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_parameter(raw, mock, place):  # noqa: F811
    good, changes = WRONG[place]
    for change, param in changes:
        status, error = raw.refused("POST", place, json.dumps(good | change).encode())
        assert error["param"] == param, (change, error)
        assert status in (400, 404)
    assert not mock.asked and not FineTune.objects.exists() and not Batch.objects.exists()
    assert raw.ask("POST", "chat/completions", json.dumps(HELLO).encode())[0] == 200


def form(boundary: bytes = b"b", **fields: bytes) -> bytes:
    parts = [
        b'--%b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (boundary, name.encode(), b'; filename="../../x\x00.jsonl"' if name == "file" else b"", content)
        for name, content in fields.items()
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary


def test_a_form_that_is_none_is_refused_and_a_files_name_is_no_path(raw):
    kind = "multipart/form-data; boundary=b"
    for body in (
        form(purpose=b"fine-tune"), form(purpose=b"../x", file=b"x"), form(file=b"x"), form(purpose=b"batch", file=b""),
        form(purpose=b"batch", file=b"x", colour=b"red"), form(purpose=b"\xff", file=b"x"),
        form(purpose=b"batch", file=b"x", **{"expires_after[seconds]": b"1"}), form(purpose=b"batch\x00", file=b"x"),
        form(purpose=b"batch", file=b"x")[:-20], form(purpose=b"batch")[:30], b"--b\r\n\r\n--b--", b"x" * 5000,
    ):  # fmt: skip
        raw.refused("POST", "files", body, kind)
    assert raw.is_well()
    status, content = raw.ask("POST", "files", form(purpose=b"batch", file=b"{}"), kind)
    assert status == 200 and "/" not in json.loads(content)["filename"] and "\\u0000" not in content.decode()


def test_a_method_that_an_address_has_not_is_said(raw):
    for place in [*POSTS, "models", "models/tiny", "files/x/content", "batches/x/cancel", "nothing/here", ""]:
        for method in ("PUT", "PATCH", "TRACE", "OPTIONS"):
            status, _error = raw.refused(method, place)
            assert status in (404, 405), (method, place)
    assert raw.is_well()
