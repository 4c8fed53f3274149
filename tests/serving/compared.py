"""Adapters with random weights and the record of their answers, made by the engine's own functions in a second."""

import json
from pathlib import Path

from rendering import Renderer
from tests.engine.tiny import CAPITALS
from tests.serving.tiny import make_adapter

PROMPTS, TOKENS = 3, 16


def make_compared(folder: Path, base: Path, *, seed: int, **config) -> Path:
    """A LoRA for `base` with its parity.json; another `seed` gives other answers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training.engine.answering import Question, greedy_answer
    from training.engine.parity import base_logprobs, parity_record, precision_of

    make_adapter(folder, base, seed=seed, spread=0.05, **config)
    renderer = Renderer.from_directory(base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(folder)
    ).eval()
    texts = [
        [{"role": "user", "content": f"What is the capital of {name}?"}] for name in list(CAPITALS)[:PROMPTS]
    ]
    questions = [
        Question(renderer.render_prompt(each).token_ids, each[0]["content"], "", each) for each in texts
    ]
    with torch.no_grad():
        answers = [
            greedy_answer(model, each.token_ids, TOKENS, renderer.stop_token_ids) for each in questions
        ]
    record = parity_record(
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
    (folder / "parity.json").write_text(json.dumps(record))
    return folder
