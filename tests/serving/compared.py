"""Adapters with random weights and the record of their answers, made by the engine's own functions in a moment."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rendering import Renderer
from tests.engine.tiny import CAPITALS

PROMPTS, TOKENS, RANK = 3, 16, 8
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_compared(folder: Path, base: Path, *, seed: int) -> Path:
    """A LoRA for `base` with its parity.json; another `seed` gives other answers."""
    return next(make_many([folder], base, first_seed=seed))


def make_many(folders: list[Path], base: Path, *, first_seed: int = 0) -> Iterator[Path]:
    """One in each folder, the base read once for all."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=TARGETS, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config).eval()
    renderer = Renderer.from_directory(base)
    for number, folder in enumerate(folders):
        with one_thread(), torch.no_grad():
            torch.manual_seed(first_seed + number)
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    weight.normal_(0, 0.05)
            record = record_of(model, renderer, base)
        model.save_pretrained(folder)
        (folder / "parity.json").write_text(json.dumps(record))
        yield folder


@contextmanager
def one_thread() -> Iterator[None]:
    """Several wait for each other by spinning, which takes twenty times as long where all cores are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def record_of(model, renderer: Renderer, base: Path) -> dict:
    from training.engine.answering import Question, greedy_answer
    from training.engine.parity import base_logprobs, parity_record, precision_of

    texts = [
        [{"role": "user", "content": f"What is the capital of {name}?"}] for name in list(CAPITALS)[:PROMPTS]
    ]
    questions = [
        Question(renderer.render_prompt(each).token_ids, each[0]["content"], "", each) for each in texts
    ]
    answers = [greedy_answer(model, each.token_ids, TOKENS, renderer.stop_token_ids) for each in questions]
    return parity_record(
        questions,
        answers,
        base=base_logprobs(model, questions, answers),
        renderer=renderer,
        base_model_dir=base,
        lineage={},
        precision=precision_of(model),
        quantization="none",
        drift=None,
    )
