"""A server on loopback that speaks vLLM's protocol and answers from the records beside its adapters.

What an adapter's "weights" are is its parity.json: asked for those tokens, the server says the probabilities that stand
there, and the base's for the base. A test makes it err in one way at a time (`Ways`).
"""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rendering import Renderer
from serving.parity import read_record

BASE = "tiny"


@dataclass
class Ways:
    """How it errs."""

    noise: float = 0.0  # added to every probability, as by rounding
    base_shift: float = 0.0  # another base: of it and of what stands on it
    prefix: list[int] = field(default_factory=list)  # tokens that its template puts before every prompt
    ignores_adapters: bool = False
    answers_with: str = ""  # the adapter of this name answers for all, as a stale one would
    mixes: bool = False  # asked for the base beside adapters, the last adapter answers
    hides: bool = False  # says that it has loaded, and does not list it
    refuses: str = ""  # what loading says, with vLLM's 500
    cannot_chat: str = ""
    is_not_number: bool = False
    says_when_started: bool = True


class AdapterServer:
    """`adapters` maps names to directories; `said` is every call; `restart` forgets all adapters, as vLLM does."""

    def __init__(self, base: Path, served_name: str = BASE):
        self.renderer, self.served_name = Renderer.from_directory(base), served_name
        self.adapters: dict[str, Path] = {}
        self.ways = Ways()
        self.said: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.url = ""
        self.running, self.started = 0, 1795778542

    def restart(self) -> None:
        self.adapters, self.started = {}, self.started + 1

    def calls(self, path: str) -> list[str]:
        return [model for said, model in self.said if said == path]

    def answer(self, method: str, path: str, body: dict) -> tuple[int, object]:
        with self.lock:
            self.said.append((path, str(body.get("model") or body.get("lora_name") or "")))
        name = path.rpartition("/")[2].replace(".", "_")
        return getattr(self, f"{method.lower()}_{name}")(body)

    def get_health(self, body):
        return 200, {}

    def get_models(self, body):
        cards = [{"id": self.served_name, "root": "/base", "parent": None}]
        if not self.ways.hides:
            cards += [
                {"id": name, "root": str(path), "parent": self.served_name}
                for name, path in self.adapters.items()
            ]
        return 200, {"object": "list", "data": cards}

    def get_metrics(self, body):
        started = f"process_start_time_seconds {self.started}\n" if self.ways.says_when_started else ""
        return 200, f'vllm:num_requests_running{{model_name="{self.served_name}"}} 2.0\n{started}'

    def post_load_lora_adapter(self, body):
        name, path = body["lora_name"], Path(body["lora_path"])
        if self.ways.refuses:
            return 500, error(self.ways.refuses, "InternalServerError", 500)
        if name in self.adapters:
            message = f"The lora adapter '{name}' has already been loaded."
            return 400, error(message, "InvalidUserInput", 400)
        self.adapters[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def post_unload_lora_adapter(self, body):
        name = body["lora_name"]
        if self.adapters.pop(name, None) is None:
            return 404, error(f"The lora adapter '{name}' cannot be found.", "NotFoundError", 404)
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def post_tokenize(self, body):
        tokens = self.renderer.render_prompt(body["messages"], tools=body.get("tools")).token_ids
        return 200, {"tokens": [*self.ways.prefix, *tokens], "count": len(tokens)}

    def post_completions(self, body):
        model, tokens = body["model"], body["prompt"]
        if model != self.served_name and model not in self.adapters:
            return 404, error(f"The model `{model}` does not exist.", "NotFoundError", 404)
        if body.get("logprobs"):
            return 200, {"choices": [{"text": "", "index": 0, "logprobs": self.written(model)}]}
        found = self.score(model, tokens)
        entries = [None] + [
            {str(token): {"logprob": value, "rank": 1}}
            for token, value in zip(tokens[1:], found, strict=True)
        ]
        return 200, {
            "choices": [{"text": "", "index": 0, "prompt_logprobs": entries, "finish_reason": "length"}]
        }

    def post_chat_completions(self, body):
        model = body["model"]
        if self.ways.cannot_chat:
            return 500, error(self.ways.cannot_chat, "InternalServerError", 500)
        if model != self.served_name and model not in self.adapters:
            return 404, error(f"The model `{model}` does not exist.", "NotFoundError", 404)
        return 200, [
            {"choices": [{"index": 0, "delta": {"content": f"I am {model}."}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
        ]

    def score(self, model: str, tokens: list[int]) -> list[float]:
        """Of each token after the first."""
        who = model
        if self.ways.ignores_adapters:
            who = self.served_name
        elif self.ways.answers_with and model != self.served_name:
            who = self.ways.answers_with
        else:
            who = self.mixed(model)
        values = self.values(who, tokens)
        if self.ways.is_not_number:
            values[-1] = float("nan")
        return [value - self.ways.noise - self.ways.base_shift for value in values]

    def mixed(self, model: str) -> str:
        """Who answers for `model`, if it is not somebody else in general."""
        is_mixed = self.ways.mixes and model == self.served_name and len(self.adapters) > 1
        return list(self.adapters)[-1] if is_mixed else model

    def written(self, model: str) -> dict:
        """Three tokens, which tell who wrote them."""
        tokens = [f"{self.mixed(model)} {place}" for place in range(3)]
        likely = [{token: -0.1, "other": -2.5} for token in tokens]
        return {"tokens": tokens, "token_logprobs": [-0.1] * 3, "top_logprobs": likely}

    def values(self, who: str, tokens: list[int]) -> list[float]:
        if who != self.served_name:
            for prompt in (read_record(self.adapters.get(who, Path("/nowhere"))) or {}).get("prompts", []):
                if prompt["prompt_token_ids"] + prompt["answer_token_ids"] == tokens:
                    return [-1.0] * (len(prompt["prompt_token_ids"]) - 1) + prompt["logprobs"]
            return [-4.0] * (len(tokens) - 1)
        return base_values(tokens)


def base_values(tokens: list[int]) -> list[float]:
    """What the base says of each token after the first."""
    return [-1.0 - (token * 7 + place) % 13 / 10 for place, token in enumerate(tokens[1:])]


def error(message: str, kind: str, status: int) -> dict:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


@contextmanager
def running(server: AdapterServer):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = (
            -1
        )  # an answer in one piece: of two, the second would wait 40 ms for the first to be acknowledged

        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = self.path.replace("/v1/chat/completions", "/v1/chat_completions")
            status, said = server.answer(self.command, path, body)
            if isinstance(said, list):
                kind = "text/event-stream"
                data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in said) + "data: [DONE]\n\n"
            elif isinstance(said, str):
                kind, data = "text/plain", said
            else:
                kind, data = "application/json", json.dumps(said)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data.encode())))
            self.end_headers()
            self.wfile.write(data.encode())

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *arguments):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
