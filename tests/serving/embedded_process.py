"""Starts the real `python -m serving.embedded` for a test and speaks HTTP to its socket."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float = 240):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server:
    """A running process: `url` for clients, `call` for one request."""

    def __init__(self, path: str, process: subprocess.Popen):
        self.path, self.process, self.url = path, process, f"unix://{path}"

    def open(self, method: str, path: str, body=None) -> http.client.HTTPResponse:
        connection = UnixConnection(self.path)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        response.connection = connection
        return response

    def call(self, method: str, path: str, body=None) -> tuple[int, object]:
        with self.open(method, path, body) as response:
            text = response.read().decode()
            return response.status, json.loads(text) if text.startswith("{") else text

    def events(self, body: dict) -> list[dict]:
        """All chunks of a streamed chat completion, without the closing [DONE], which must be there."""
        with self.open("POST", "/v1/chat/completions", body | {"stream": True}) as response:
            assert response.status == 200, response.read()
            lines = [line[6:] for line in response.read().decode().split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


@contextmanager
def running_server(idle_seconds: float = 600, path: str | None = None):
    """The server on a socket in a directory of its own, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="apex-") as directory:
        path = path or f"{directory}/serving.sock"
        command = [sys.executable, "-m", "serving.embedded", "--url", f"unix://{path}"]
        process = subprocess.Popen(
            [*command, "--idle-seconds", str(idle_seconds)],
            cwd=ROOT,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        )
        try:
            server = Server(path, process)
            wait_until_up(server)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_until_up(server: Server) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if server.call("GET", "/health")[0] == 200:
                return
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.05)
    raise TimeoutError("the embedded server did not come up within 30 s")
