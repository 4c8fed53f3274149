"""Tokens per processor second of the embedded process's batches, against `generate` one question after the other.

In one process and on one thread, in turns, on the demo model, greedy, as many tokens each for both. Processor seconds
are counted, not those of the clock, so that it can be measured on a busy machine; sockets and HTTP are left out.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import figure

MODEL = Path(__file__).resolve().parents[1] / "base_models" / "demo" / "model"
ROUNDS = 3
TOKENS = 32
PEER = "transformers generate, one by one"
QUESTIONS = [
    "What is the capital of Turkey?", "Say hello.", "Which metal has the symbol Fe?", "How much is 12 and 30?",
    "What is the colour of the sky on a clear day?", "Where is the harbour office?", "Name a fruit.",
    "Tell me about the old lighthouse and the ships that pass it at night, please.",
]  # fmt: skip


def measure() -> Iterator[dict]:
    """One question at once and eight at once, medians of the rounds with the median of the rounds' ratios."""
    import torch

    from serving.embedded.shelf import Shelf

    torch.set_num_threads(1)
    shelf = Shelf()
    shelf.load_base("demo", MODEL)
    base = shelf.bases["demo"]
    base.model.generation_config.eos_token_id = None
    by_generate(base), together(shelf, QUESTIONS)
    found: dict[str, list[tuple[float, float]]] = {"1 at once": [], "8 at once": []}
    for _ in range(ROUNDS):
        theirs = by_generate(base)
        found["8 at once"].append((together(shelf, QUESTIONS), theirs))
        found["1 at once"].append((sum(together(shelf, [question]) for question in QUESTIONS), theirs))
    tokens = len(QUESTIONS) * TOKENS
    for name, pairs in found.items():
        ours, theirs = (tokens / statistics.median(seconds) for seconds in zip(*pairs, strict=True))
        ratio = statistics.median(their / our for our, their in pairs)
        yield figure(f"embedded: {name}", ours, "tokens/s of CPU", PEER, theirs) | {"ratio": round(ratio, 3)}


def by_generate(base) -> float:
    """Processor seconds for all questions."""
    import torch

    prompts = [
        base.renderer.render_prompt([{"role": "user", "content": question}]).token_ids
        for question in QUESTIONS
    ]
    started = time.process_time()
    for prompt in prompts:
        ids = torch.tensor([prompt])
        base.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
    return time.process_time() - started


def together(shelf, questions: list[str]) -> float:
    """Processor seconds until the last of the questions, all asked at once, is answered."""
    from serving.embedded.parts import Part
    from serving.protocol import ChatRequest

    started = time.process_time()
    answers = {
        shelf.open_answer(
            ChatRequest("demo", [{"role": "user", "content": question}], temperature=0, max_tokens=TOKENS),
            Part(ignore_eos=True),
        )
        for question in questions
    }
    while answers:
        for answer, piece in shelf.bases["demo"].batch.step():
            if isinstance(piece, Exception):
                raise piece
            if piece.end:
                answer.close()
                answers.discard(answer)
    return time.process_time() - started
