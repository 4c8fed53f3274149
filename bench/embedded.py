"""Tokens per second of the embedded process, against transformers' `generate` one question after the other.

The demo model, the same prompts, greedy, and as many tokens each for both. Both are processes of their own that take
turns, so that a busy machine slows all alike; what counts is the ratio, round by round. Ours is asked over its socket,
its answers streamed and read to the end; the peer's time is that of `generate` alone. Adapters are drawn at random:
what they say does not matter, and takes as long.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.figures import figure

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "base_models" / "demo" / "model"
ROUNDS = 5
AT_ONCE = 8
TOKENS = 64
ADAPTERS = 100
COUNTED = (1, 35, 100)
PEER = "transformers generate, one by one"
QUESTIONS = [
    "What is the capital of Turkey?", "Say hello.", "Which metal has the symbol Fe?", "How much is 12 and 30?",
    "What is the colour of the sky on a clear day?", "Where is the harbour office?", "Name a fruit.",
    "Tell me about the old lighthouse and the ships that pass it at night, please.",
]  # fmt: skip


def measure() -> Iterator[dict]:
    """Speeds alone, and at eight at once of the base, of one adapter, and of eight adapters; loading adapters."""
    with tempfile.TemporaryDirectory() as directory, _peer(Path(directory)) as peer:
        adapters = [Path(path) for path in peer.ask({"do": "make", "count": AT_ONCE})["adapters"]]
        with _process(Path(directory)) as ask:
            ask("/v1/load_base_model", {"name": "demo", "path": str(MODEL)})
            for number, path in enumerate(adapters):
                ask("/v1/load_lora_adapter", {"lora_name": f"a{number}", "lora_path": str(path)})
            yield from _speeds(ask, peer)
            yield from _loading(ask, peer, adapters[0])


def _speeds(ask, peer) -> Iterator[dict]:
    mixed = [f"a{number}" for number in range(AT_ONCE)]
    cases = {
        "1 at once, base": ([["demo"]] * AT_ONCE, None),
        "8 at once, base": ([["demo"] * AT_ONCE], None),
        "1 at once, one adapter": ([["a0"]] * AT_ONCE, 0),
        "8 at once, one adapter": ([["a0"] * AT_ONCE], 0),
        "8 at once, eight adapters": ([mixed], 0),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for number in range(ROUNDS + 1):
        for name, (waves, adapter) in cases.items():
            theirs = peer.ask({"do": "write", "adapter": adapter, "questions": QUESTIONS, "tokens": TOKENS})
            ours, texts = _ask_all(ask, waves)
            if name.endswith("base"):
                _check_texts(texts, theirs["texts"])
            if number:  # the first round warms both
                found[name].append((ours, theirs["speed"]))
    for name, pairs in found.items():
        ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratio = statistics.median(our / their for our, their in pairs)
        yield figure(f"embedded: {name}", ours, "tokens/s", PEER, theirs) | {"ratio": round(ratio, 3)}


def _ask_all(ask, waves: list[list[str]]) -> tuple[float, list[str]]:
    """Tokens per second over all questions, asked a wave after the other, and the answers in order."""
    questions = iter(QUESTIONS)
    texts: list[str] = []
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for models in waves:
            texts += pool.map(
                lambda pair: _stream(ask, *pair), [(model, next(questions)) for model in models]
            )
    return AT_ONCE * TOKENS / (time.perf_counter() - started), texts


def _stream(ask, model: str, question: str) -> str:
    body = {
        "model": model, "messages": [{"role": "user", "content": question}], "temperature": 0,
        "max_tokens": TOKENS, "ignore_eos": True, "stream": True,
    }  # fmt: skip
    lines = ask("/v1/chat/completions", body).decode().split("\n\n")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def _check_texts(ours: list[str], theirs: list[str]) -> None:
    """Raises RuntimeError where more than one answer differs: a near tie may turn one, a fault turns many."""
    different = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    if len(different) > 1:
        raise RuntimeError(f"{len(different)} of {len(ours)} answers differ, such as {different[0]}")


def _loading(ask, peer, path: Path) -> Iterator[dict]:
    """How long the n-th adapter takes: ours over the socket, PEFT's `load_adapter` in its own process."""
    theirs = peer.ask({"do": "load", "count": ADAPTERS})["seconds"]
    ours = []
    for number in range(ADAPTERS):
        started = time.perf_counter()
        ask("/v1/load_lora_adapter", {"lora_name": f"more{number}", "lora_path": str(path)})
        ours.append(time.perf_counter() - started)
    for count in COUNTED:
        around = slice(max(0, count - 3), count + 2)
        yield figure(
            f"embedded: loading adapter number {count}",
            statistics.median(ours[around]) * 1000, "ms",
            "PEFT load_adapter", statistics.median(theirs[around]) * 1000,
        )  # fmt: skip


@contextmanager
def _process(directory: Path):
    """A function that asks a running embedded process: (path, body) → bytes."""
    from tests.serving.embedded_process import running_server

    with running_server(path=f"{directory}/serving.sock") as server:

        def ask(path: str, body: dict) -> bytes:
            with server.open("POST", path, body) as response:
                said = response.read()
                if response.status != 200:
                    raise RuntimeError(f"{path} said {response.status}: {said[:300]!r}")
                return said

        yield ask


class Peer:
    """A process of `bench.embedded_peer`: one line of JSON in, one out."""

    def __init__(self, process: subprocess.Popen):
        self._process = process

    def ask(self, body: dict) -> dict:
        self._process.stdin.write(json.dumps(body) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with {self._process.wait()}")
        return json.loads(line)


@contextmanager
def _peer(directory: Path):
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    command = [sys.executable, "-m", "bench.embedded_peer", str(MODEL), str(directory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        yield Peer(process)
        process.stdin.close()
