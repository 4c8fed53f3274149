"""Tokens a second of the embedded process, against `generate` one question after the other.

All on one core and one thread, on the demo model, greedy, as many tokens each for all, in turns: in one process (the
batches alone), and over the process's own socket as the gateway asks it. Once the base answers everything, once each
question goes to another of eight adapters; the peer is then PEFT with the eight loaded, switched before each question.
"""

import concurrent.futures
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import figure

MODEL = Path(__file__).resolve().parents[1] / "base_models" / "demo" / "model"
ROUNDS = 5
TOKENS = 32
PEER = "transformers generate, one by one"
QUESTIONS = [
    "What is the capital of Turkey?", "Say hello.", "Which metal has the symbol Fe?", "How much is 12 and 30?",
    "What is the colour of the sky on a clear day?", "Where is the harbour office?", "Name a fruit.",
    "Tell me about the old lighthouse and the ships that pass it at night, please.",
]  # fmt: skip
BASE = ["demo"] * len(QUESTIONS)
ADAPTERS = [f"adapter-{number}" for number in range(len(QUESTIONS))]


def measure() -> Iterator[dict]:
    """Medians of the rounds, with the median of the rounds' ratios."""
    import torch

    from tests.serving.adapters import safetensors, tensors, write_adapter
    from tests.serving.embedded_process import running_server

    torch.set_num_threads(1)
    serving, asking = max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        directories = {
            name: write_adapter(Path(folder) / name, weights=safetensors(tensors(seed=seed)))
            for seed, name in enumerate(ADAPTERS)
        }
        peer, batches = Generating(directories), Batches(directories)
        with running_server() as server:
            os.sched_setaffinity(server.process.pid, {serving})
            socket = Socket(server, directories)
            yield from compared(peer, batches, socket, serving, asking)


def compared(peer, batches, socket, serving: int, asking: int) -> Iterator[dict]:
    ways: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("8 at once", lambda: batches.seconds(QUESTIONS, BASE), lambda: peer.seconds(BASE)),
        (
            "1 at once",
            lambda: sum(batches.seconds([question], ["demo"]) for question in QUESTIONS),
            lambda: peer.seconds(BASE),
        ),
        (
            "8 at once, eight adapters", lambda: batches.seconds(QUESTIONS, ADAPTERS),
            lambda: peer.seconds(ADAPTERS),
        ),
        ("8 at once, over the socket", lambda: socket.seconds(BASE), lambda: peer.seconds(BASE)),
        (
            "8 at once, eight adapters, over the socket", lambda: socket.seconds(ADAPTERS),
            lambda: peer.seconds(ADAPTERS),
        ),
    ]  # fmt: skip
    for name, ours, theirs in ways:
        pairs = []
        for number in range(ROUNDS + 1):
            # Who asks over the socket is on the other core; the rest is measured where the server is.
            os.sched_setaffinity(0, {asking if "socket" in name else serving})
            mine = ours()
            os.sched_setaffinity(0, {serving})
            if number:  # the first is for warming up
                pairs.append((mine, theirs()))
        tokens = len(QUESTIONS) * TOKENS
        rates = [tokens / statistics.median(seconds) for seconds in zip(*pairs, strict=True)]
        ratio = statistics.median(their / our for our, their in pairs)
        yield figure(f"embedded: {name}", rates[0], "tokens/s", PEER, rates[1]) | {"ratio": round(ratio, 3)}


class Generating:
    """The peer: transformers with PEFT, one question after the other."""

    def __init__(self, directories: dict[str, Path]):
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self._prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt",
                return_dict=True,
            )
            for question in QUESTIONS
        ]  # fmt: skip
        self._base = AutoModelForCausalLM.from_pretrained(MODEL).eval()
        self._base.generation_config.eos_token_id = None
        with_adapters = AutoModelForCausalLM.from_pretrained(MODEL).eval()
        with_adapters.generation_config.eos_token_id = None
        first, *rest = directories.items()
        self._tuned = PeftModel.from_pretrained(with_adapters, first[1], adapter_name=first[0])
        for name, directory in rest:
            self._tuned.load_adapter(directory, adapter_name=name)

    def seconds(self, models: list[str]) -> float:
        import torch

        begun = time.perf_counter()
        for model, prompt in zip(models, self._prompts, strict=True):
            if model != "demo":
                self._tuned.set_adapter(model)
            with torch.inference_mode():
                (self._base if model == "demo" else self._tuned).generate(
                    **prompt, max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
                )
        return time.perf_counter() - begun


class Batches:
    """What answers, without its socket."""

    def __init__(self, directories: dict[str, Path]):
        from serving.embedded.shelf import Shelf

        self._shelf = Shelf()
        self._shelf.load_base("demo", MODEL)
        for name, directory in directories.items():
            self._shelf.load_adapter(name, directory, "demo")

    def seconds(self, questions: list[str], models: list[str]) -> float:
        """Until the last of the questions, all asked at once, is answered."""
        from serving.embedded.parts import Part
        from serving.protocol import ChatRequest

        begun = time.perf_counter()
        answers = {
            self._shelf.open_answer(
                ChatRequest(model, [{"role": "user", "content": question}], temperature=0, max_tokens=TOKENS),
                Part(ignore_eos=True),
            )
            for question, model in zip(questions, models, strict=True)
        }
        while answers:
            for answer, piece in self._shelf.bases["demo"].batch.step():
                if isinstance(piece, Exception):
                    raise piece
                if piece.end:
                    answer.close()
                    answers.discard(answer)
        return time.perf_counter() - begun


class Socket:
    """The process as it runs, asked by HTTP."""

    def __init__(self, server, directories: dict[str, Path]):
        self._server = server
        self._load("/v1/load_base_model", {"name": "demo", "path": str(MODEL)})
        for name, directory in directories.items():
            self._load(
                "/v1/load_lora_adapter",
                {"lora_name": name, "lora_path": str(directory), "base_model": "demo"},
            )
        self._askers = concurrent.futures.ThreadPoolExecutor(len(QUESTIONS))

    def _load(self, path: str, body: dict) -> None:
        status, answer = self._server.call("POST", path, body)
        assert status == 200, answer

    def seconds(self, models: list[str]) -> float:
        begun = time.perf_counter()
        for status, answer in self._askers.map(self._ask, QUESTIONS, models):
            assert status == 200 and answer["usage"]["completion_tokens"] == TOKENS, answer
        return time.perf_counter() - begun

    def _ask(self, question: str, model: str) -> tuple[int, dict]:
        return self._server.call(
            "POST", "/v1/chat/completions",
            {
                "model": model, "messages": [{"role": "user", "content": question}], "temperature": 0,
                "max_tokens": TOKENS, "ignore_eos": True,
            },
        )  # fmt: skip
