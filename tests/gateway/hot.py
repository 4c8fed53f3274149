"""What the tests of the hot path share: plain HTTP on one connection, and a site whose model is a mock."""

import http.client
import json
from urllib.parse import urlsplit

from accounts.services import create_token

CHAT = "/v1/chat/completions"
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}


class Client:
    """One kept connection with a token."""

    def __init__(self, site: str, token: str):
        self.site, self.token = urlsplit(site), token
        self.connection = http.client.HTTPConnection(self.site.hostname, self.site.port, timeout=30)

    def open(self, body, path: str = CHAT, headers: dict | None = None) -> http.client.HTTPResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", "authorization": f"Bearer {self.token}"} | (headers or {})
        self.connection.request("POST", path, data, sent)
        return self.connection.getresponse()

    def ask(self, body, path: str = CHAT, headers: dict | None = None):
        """(status, headers, bytes)"""
        response = self.open(body, path, headers)
        return response.status, response.headers, response.read()

    def error(self, body, path: str = CHAT) -> tuple[int, dict]:
        status, headers, content = self.ask(body, path)
        error = json.loads(content)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert headers["x-request-id"].startswith("req_")
        return status, error


def client_of(site: str, user, **asked) -> Client:
    _, text = create_token(user=user, name="test", **asked)
    return Client(site, text)
