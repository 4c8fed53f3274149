import json

from asgiref.testing import ApplicationCommunicator

from apex.common.limits import BodyLimit


async def read_all(scope, receive, send):
    """An application that reads its body and says how much came, or that the connection was cut."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            body = b"cut"
            break
        size += len(message["body"])
        if not message.get("more_body"):
            body = str(size).encode()
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def ask(headers: list, *chunks: bytes, path: str = "/data/add/") -> tuple[int, bytes]:
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    talk = ApplicationCommunicator(BodyLimit(read_all, limit=10), scope)
    for number, chunk in enumerate(chunks, start=1):
        more = number < len(chunks)
        await talk.send_input({"type": "http.request", "body": chunk, "more_body": more})
    start, body = await talk.receive_output(), await talk.receive_output()
    return start["status"], body["body"]


async def test_a_body_within_the_limit_passes():
    assert await ask([(b"content-length", b"10")], b"12345", b"67890") == (200, b"10")


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read():
    status, body = await ask([(b"content-length", b"11")])
    assert status == 413 and json.loads(body)["error"]["code"] == "too_large"


async def test_a_body_that_does_not_say_is_cut_off():
    assert await ask([], b"123456", b"789012") == (200, b"cut")


async def test_a_program_of_openais_gets_openais_envelope():
    _status, body = await ask([(b"content-length", b"99")], path="/v1/chat/completions")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
