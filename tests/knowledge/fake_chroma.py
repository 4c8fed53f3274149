"""Stands in for ChromaDB's server: the calls of its HTTP API (v2) that we make, with its codes and shapes."""

import json
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

ROOT = "/api/v2/tenants/default_tenant/databases/default_database/collections"


class Fake:
    """`collections`: name → {"id", "vectors": {id: vector}}; `asked`: (method, what)."""

    def __init__(self) -> None:
        self.collections: dict[str, dict] = {}
        self.asked: list[tuple[str, str]] = []
        self.is_broken = False

    def answer(self, method: str, path: str, body: dict) -> tuple[int, object]:
        self.asked.append((method, path.rpartition("/")[2]))
        if self.is_broken:
            return 500, {"error": "InternalError", "message": "disk full"}
        rest = path.removeprefix(ROOT).strip("/")
        if method == "POST" and not rest:
            made = {"id": str(uuid.uuid4()), "name": body["name"], "vectors": {}}
            if body["name"] in self.collections and not body.get("get_or_create"):
                return 409, {"error": "UniqueConstraintError", "message": "exists"}
            found = self.collections.setdefault(body["name"], made)
            return 200, {"id": found["id"], "name": found["name"], "dimension": None}
        if method == "DELETE":
            gone = self.collections.pop(rest, None)
            return (200, {}) if gone else (404, {"error": "NotFoundError", "message": "does not exist"})
        key, _slash, act = rest.partition("/")
        found = next((each for each in self.collections.values() if each["id"] == key), None)
        if found is None:
            return 404, {"error": "NotFoundError", "message": "does not exist"}
        return getattr(self, act)(found["vectors"], body)

    def upsert(self, vectors: dict, body: dict) -> tuple[int, object]:
        widths = {len(each) for each in [*vectors.values(), *body["embeddings"]]}
        if len(widths) > 1:
            return 400, {"error": "InvalidArgumentError", "message": f"dimension {sorted(widths)}"}
        vectors.update(zip(body["ids"], body["embeddings"], strict=True))
        return 200, {}

    def get(self, vectors: dict, body: dict) -> tuple[int, object]:
        begin = body.get("offset", 0)
        ids = list(vectors)[begin : begin + body.get("limit", len(vectors))]
        return 200, {"ids": ids, "include": []}

    def delete(self, vectors: dict, body: dict) -> tuple[int, object]:
        for each in body["ids"]:
            vectors.pop(each, None)
        return 200, {}

    def query(self, vectors: dict, body: dict) -> tuple[int, object]:
        ids = list(vectors)
        matrix = np.array([vectors[each] for each in ids], "f4").reshape(len(ids), -1)
        found, distances = [], []
        for question in body["query_embeddings"]:
            far = 1 - (matrix @ np.array(question, "f4")) if ids else np.zeros(0)
            order = np.argsort(far)[: body["n_results"]]
            found.append([ids[place] for place in order])
            distances.append([float(far[place]) for place in order])
        return 200, {"ids": found, "distances": distances, "include": ["distances"]}


@contextmanager
def running():
    """A `Fake` and its URL."""
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, said = fake.answer(self.command, self.path, body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do  # noqa: N815 - the names that http.server looks for

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield fake, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
