"""A program's way to `/v1` in Django's test client: a token, JSON bodies, files."""

import json

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.services import create_token

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"What is {i} and {i}?"},
            {"role": "assistant", "content": str(2 * i)},
        ]
    }
    for i in range(12)
]
PAIRS = [
    {
        "input": {"messages": [{"role": "user", "content": f"Say {i}."}]},
        "preferred_output": [{"role": "assistant", "content": f"{i}, with pleasure."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    for i in range(12)
]


def lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def whole(answer) -> bytes:
    """All of an answer that comes in pieces."""

    async def collected() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    assert answer.status_code == 200, answer.content
    return async_to_sync(collected)()


class Program:
    """`get`, `post` and `delete` give `(status, JSON)`."""

    def __init__(self, user, scopes=("read", "write", "chat")):
        _token, text = create_token(user=user, name="program", scopes=scopes)
        self.user = user
        self.client = Client(headers={"authorization": f"Bearer {text}"})

    def get(self, path: str, **query):
        return self.read(self.client.get(f"/v1/{path}", query))

    def post(self, path: str, body=None):
        return self.read(
            self.client.post(f"/v1/{path}", json.dumps(body or {}), content_type="application/json")
        )

    def delete(self, path: str):
        return self.read(self.client.delete(f"/v1/{path}"))

    def content(self, file_id: str) -> bytes:
        return whole(self.client.get(f"/v1/files/{file_id}/content"))

    def send(self, content: bytes, purpose="fine-tune", name="train.jsonl", **fields):
        file = SimpleUploadedFile(name, content, content_type="application/octet-stream")
        return self.read(self.client.post("/v1/files", {"file": file, "purpose": purpose, **fields}))

    @staticmethod
    def read(answer):
        body = answer.json()
        assert answer.headers["x-request-id"].startswith("req_")
        if answer.status_code >= 400:
            assert set(body["error"]) == {"message", "type", "param", "code"}, body
        return answer.status_code, body
