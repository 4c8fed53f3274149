"""Web servers on loopback that behave as a test says, well or badly. Each request is noted."""

import contextlib
import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Noted:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Server:
    """`url` leads to it. `handlers` maps a path (without query) to what answers; `noted` is what was asked."""

    host: str
    port: int
    handlers: dict[str, Callable] = field(default_factory=dict)
    noted: list[Noted] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def gives(self, path: str, body: bytes, **headers: str) -> str:
        """Answers `path` with `body`, in ranges too; returns its URL. Underscores in names become hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handlers[path] = lambda request: give(request, body, named)
        return self.url + path

    def redirects(self, path: str, to: str, status: int = 302) -> str:
        def answer(request):
            request.send_response(status)
            request.send_header("Location", to)
            request.send_header("Content-Length", "0")
            request.end_headers()

        self.handlers[path] = answer
        return self.url + path


def give(request: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str]) -> None:
    wanted = request.headers.get("Range", "")
    first, last = 0, len(body) - 1
    if wanted.startswith("bytes="):
        start, _dash, end = wanted.removeprefix("bytes=").partition("-")
        first, last = int(start), min(int(end), last) if end else last
        if first >= len(body):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
    else:
        request.send_response(200)
    request.send_header("Content-Length", str(last - first + 1))
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[first : last + 1])


@contextmanager
def serving(host: str = "127.0.0.1", *, tls=None):
    """A running `Server`; `tls` is an SSLContext for the server's side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            path = self.path.split("?")[0]
            server.noted.append(Noted(self.command, self.path, dict(self.headers)))
            handler = server.handlers.get(path)
            self.close_connection = True
            if handler is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            # Whoever asked may have gone away, as some tests want.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                handler(self)

        do_GET = do_HEAD = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *arguments):
            pass

    listening = ThreadingHTTPServer((host, 0), Handler)
    listening.daemon_threads = True
    server = Server(host, listening.server_address[1], scheme="https" if tls else "http")
    if tls:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


@contextmanager
def nobody():
    """A port of loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
