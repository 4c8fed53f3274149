"""A local server that speaks the part of MLflow's REST API 2.0 that Apex uses, with MLflow's own refusals."""

import json
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class MLflowServer:
    def __init__(self):
        self.experiments: dict[str, str] = {}  # name → id
        self.runs: dict[str, dict] = {}
        self.calls: list[tuple[str, str, dict]] = []  # path, Authorization, content
        self.is_away = False

    def answer(self, path: str, content: dict) -> tuple[int, dict]:
        name = path.removeprefix("/api/2.0/mlflow/").replace("/", "_").replace("-", "_")
        handler = getattr(self, name, None)
        return handler(content) if handler else (404, {"error_code": "ENDPOINT_NOT_FOUND"})

    def experiments_get_by_name(self, content: dict):
        found = self.experiments.get(content["experiment_name"])
        if found is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}
        return 200, {"experiment": {"experiment_id": found, "name": content["experiment_name"]}}

    def experiments_create(self, content: dict):
        if content["name"] in self.experiments:
            return 400, {"error_code": "RESOURCE_ALREADY_EXISTS"}
        self.experiments[content["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[content["name"]]}

    def runs_search(self, content: dict):
        left, _, right = content["filter"].partition(" = ")
        key, value = left.removeprefix("tags.").strip("`"), right.strip("'")
        found = [run for run in self.runs.values() if run["data"]["tags"].get(key) == value]
        return 200, {"runs": [self.shown(run) for run in found[: content["max_results"]]]} if found else {}

    def shown(self, run: dict) -> dict:
        latest: dict[str, dict] = {}
        for metric in run["data"]["metrics"]:
            if metric["step"] >= latest.get(metric["key"], {"step": -1})["step"]:
                latest[metric["key"]] = metric
        return {"info": run["info"], "data": {"metrics": list(latest.values())}}

    def runs_create(self, content: dict):
        if content["experiment_id"] not in self.experiments.values():
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        run_id = uuid.uuid4().hex
        info = {"run_id": run_id, "status": "RUNNING", "run_name": content["run_name"]}
        tags = {tag["key"]: tag["value"] for tag in content.get("tags", [])}
        self.runs[run_id] = {"info": info, "data": {"metrics": [], "params": {}, "tags": tags}}
        return 200, {"run": {"info": info}}

    def runs_log_batch(self, content: dict):
        metrics, params = content.get("metrics", []), content.get("params", [])
        if len(metrics) > 1000 or len(params) > 100:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "too many in one call"}
        assert all(isinstance(metric["timestamp"], int) for metric in metrics)
        data = self.runs[content["run_id"]]["data"]
        data["metrics"] += metrics
        data["params"] |= {param["key"]: param["value"] for param in params}
        return 200, {}

    def runs_update(self, content: dict):
        self.runs[content["run_id"]]["info"]["status"] = content["status"]
        return 200, {"run_info": self.runs[content["run_id"]]["info"]}


@contextmanager
def mlflow_server():
    """Yields the server, with its address as `uri`."""
    state = MLflowServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            self.reply(parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()})

        def do_POST(self):
            self.reply(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, path: str, content: dict) -> None:
            state.calls.append((path, self.headers.get("Authorization", ""), content))
            code, said = (
                (503, {"error_code": "TEMPORARILY_UNAVAILABLE"})
                if state.is_away
                else state.answer(path, content)
            )
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.uri = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
