"""A record of how the trained model answers, for whoever serves it to compare with."""

import hashlib
from pathlib import Path
from typing import Any

from rendering import Renderer
from training.engine.answering import Question, greedy_answer

PROMPTS = 8
ANSWER_TOKENS = 64
FORMAT = 1


def parity_record(
    model,
    questions: list[Question],
    *,
    renderer: Renderer,
    base_model_dir: Path,
    lineage: dict[str, Any],
    quantization: str,
) -> dict[str, Any]:
    """What parity.json holds (docs/architecture.md): greedy answers and the log-probabilities of their tokens.

    The model is asked in eval mode, at the number format of its base weights and without autocast: that is what
    will be served, bf16 on a GPU and fp32 on a CPU. Draws no random number.
    """
    import torch

    was_training = model.training
    model.eval()
    prompts = []
    with torch.no_grad():
        for question in questions[:PROMPTS]:
            answer = greedy_answer(model, question.token_ids, ANSWER_TOKENS, renderer.stop_token_ids)
            prompts.append(
                {
                    "prompt": renderer.decode(question.token_ids, skip_special_tokens=False),
                    "prompt_token_ids": question.token_ids,
                    "answer": renderer.decode(answer.token_ids),
                    "answer_token_ids": answer.token_ids,
                    "logprobs": [round(value, 6) for value in answer.logprobs],
                    "is_ended": answer.is_ended,
                }
            )
    model.train(was_training)
    return {
        "format": FORMAT,
        "precision": _precision(model),
        "quantization": quantization,
        "base_model": lineage.get("base_model") or base_model_dir.name,
        "base_revision": lineage.get("base_revision"),
        "tokenizer_sha256": _sha256((base_model_dir / "tokenizer.json").read_bytes()),
        "template_sha256": _sha256(renderer.template.encode()),
        "max_answer_tokens": ANSWER_TOKENS,
        "stop_token_ids": list(renderer.stop_token_ids),
        "prompts": prompts,
    }


def _precision(model) -> str:
    """The number format in which the base computes: that of its first weight that is no adapter's and not packed."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    for name, parameter in model.named_parameters():
        if "lora_" not in name and parameter.dtype in names:
            return names[parameter.dtype]
    return "fp32"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
