"""An upload by the API against a whole running Apex: cut on the wire, gone on with, checked by a worker."""

import base64
import os
import signal
import socket
import time
import urllib.request
import uuid

import pytest

from tests.flows.client import Api

pytestmark = pytest.mark.stack
LINE = '{"prompt": "What is number %d?", "completion": "It is %d. ' + "Look again. " * 400 + '"}\n'


def call(api, method: str, path: str, body: bytes | None = None, **headers: str):
    """The answer's headers; urllib raises on refusals."""
    request = urllib.request.Request(
        api.url + path,
        data=body,
        method=method,
        headers={
            "Authorization": f"Bearer {api.token}",
            "Tus-Resumable": "1.0.0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers


def cut_off(stack, api, path: str, content: bytes, sent: int) -> None:
    """A PATCH that announces all of `content` and closes the connection after `sent` bytes."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as wire:
        wire.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.token}\r\n"
            f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
        )
        wire.sendall(content[:sent])
        time.sleep(0.5)


def wait_for(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.1)
    return found


def test_what_came_of_a_piece_that_was_cut_is_kept(stack):
    api = Api(stack, f"vera-{uuid.uuid4().hex[:6]}")
    content = "".join(LINE % (number, number) for number in range(1500)).encode()
    name = base64.b64encode(b"numbers.jsonl").decode()
    begun = call(
        api, "POST", "/api/v1/uploads/", b"",
        Upload_Length=str(len(content)), Upload_Metadata=f"filename {name}",
    )  # fmt: skip
    path = begun["Location"]
    cut_off(stack, api, path, content, sent=3 * 1024 * 1024)
    offset = wait_for(lambda: int(call(api, "HEAD", path)["Upload-Offset"]))
    assert 2 * 1024 * 1024 < offset <= 3 * 1024 * 1024
    done = call(
        api, "PATCH", path, content[offset:],
        Upload_Offset=str(offset), Content_Type="application/offset+octet-stream",
    )  # fmt: skip
    assert int(done["Upload-Offset"]) == len(content)

    key = path.rstrip("/").rpartition("/")[2]

    def ended():
        _status, imported = api.call("GET", f"/api/v1/imports/{key}/")
        return imported if imported["status"] not in ("queued", "checking") else None

    imported = wait_for(ended)
    assert imported["status"] == "done", imported
    _status, dataset = api.call("GET", f"/api/v1/datasets/{imported['dataset']}/")
    assert dataset["name"] == "numbers" and dataset["latest"]["row_count"] == 1500


def test_files_that_eat_a_reader_cost_nobody_elses_upload(stack):
    """Nesting, a bomb and half a file, while somebody else's good file is checked."""
    import gzip

    bad = [b"[" * 3_000_000, gzip.compress(b"x" * 300_000_000), b'{"messages": ' * 200_000]
    api, other = Api(stack, f"wim-{uuid.uuid4().hex[:6]}"), Api(stack, f"xia-{uuid.uuid4().hex[:6]}")
    keys = [bring(api, content, f"bad-{number}.jsonl") for number, content in enumerate(bad)]
    good = bring(other, "".join(LINE % (n, n) for n in range(100)).encode(), "good.jsonl")

    def status_of(who, key):
        return who.call("GET", f"/api/v1/imports/{key}/")[1]["status"]

    wait_for(lambda: status_of(other, good) == "done", 120)
    wait_for(lambda: all(status_of(api, key) == "refused" for key in keys), 120)


def bring(api, content: bytes, name: str) -> str:
    """Uploads `content` in one piece; the id of its import."""
    begun = call(
        api, "POST", "/api/v1/uploads/", content,
        Upload_Length=str(len(content)), Content_Type="application/offset+octet-stream",
        Upload_Metadata=f"filename {base64.b64encode(name.encode()).decode()}",
    )  # fmt: skip
    assert int(begun["Upload-Offset"]) == len(content)
    return begun["Location"].rstrip("/").rpartition("/")[2]


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_import(stack):
    api = Api(stack, f"yan-{uuid.uuid4().hex[:6]}")
    content = "".join(LINE % (number, number) for number in range(12_000)).encode()
    key = bring(api, content, "large.jsonl")

    def status() -> str:
        return api.call("GET", f"/api/v1/imports/{key}/")[1]["status"]

    wait_for(lambda: status() == "checking", 30)
    os.kill(stack.pid("worker-default"), signal.SIGKILL)
    wait_for(lambda: status() == "done", 150)
    _status, imported = api.call("GET", f"/api/v1/imports/{key}/")
    _status, dataset = api.call("GET", f"/api/v1/datasets/{imported['dataset']}/")
    assert dataset["name"] == "large" and dataset["latest"]["row_count"] == 12_000
    assert not (stack.data / "uploads" / f"{key}.part").exists()
