"""A record of how the trained model answers, for whoever serves it to compare with."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rendering import Renderer
from training.engine.answering import Answer, Question, greedy_answer, logprobs_of

PROMPTS = 8
ANSWER_TOKENS = 64
FORMAT = 1


def reference_answers(model, questions: Sequence[Question], renderer: Renderer) -> list[Answer]:
    """How `model` answers each question: the most probable token after the other.

    It is asked in eval mode, at the number format of its weights and without autocast, as a server asks it. Draws no
    random number.
    """
    return _asked(
        model,
        lambda: [
            greedy_answer(model, q.token_ids, ANSWER_TOKENS, renderer.stop_token_ids) for q in questions
        ],
    )


def base_logprobs(model, questions: Sequence[Question], answers: Sequence[Answer]) -> list[list[float]]:
    """How probable each token of `answers` is to the base alone, so that a wrong base can be told from a wrong adapter.

    The adapter is left out for the moment. Draws no random number.
    """

    def ask() -> list[list[float]]:
        with model.disable_adapter():
            return [
                logprobs_of(model, question.token_ids, answer.token_ids)
                for question, answer in zip(questions, answers, strict=True)
            ]

    return _asked(model, ask)


def drift_between(
    model, questions: Sequence[Question], squeezed: Sequence[Answer], own: Sequence[Answer]
) -> dict:
    """How far the answers of the base in 4 bits are from those that `model`, with the whole base, gives.

    `mean_abs_logprob_difference` is over all `tokens` of the squeezed answers, in nats; `same_answers` counts the
    questions to which both answer the same.
    """
    texts = [
        (question.token_ids, answer.token_ids) for question, answer in zip(questions, squeezed, strict=True)
    ]
    again = _asked(model, lambda: [logprobs_of(model, *text) for text in texts])
    differences = [
        abs(one - other)
        for answer, logprobs in zip(squeezed, again, strict=True)
        for one, other in zip(answer.logprobs, logprobs, strict=True)
    ]
    return {
        "quantization": "nf4",
        "tokens": len(differences),
        "mean_abs_logprob_difference": round(sum(differences) / len(differences), 6) if differences else 0.0,
        "same_answers": sum(a.token_ids == b.token_ids for a, b in zip(squeezed, own, strict=True)),
    }


def parity_record(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    *,
    base: Sequence[list[float]],
    renderer: Renderer,
    base_model_dir: Path,
    lineage: dict[str, Any],
    precision: str,
    quantization: str,
    drift: dict[str, Any] | None,
) -> dict[str, Any]:
    """What parity.json holds (docs/architecture.md); the answers were made in `precision` and `quantization`.

    `base` is what `base_logprobs` says of these answers.
    """
    return {
        "format": FORMAT,
        "precision": precision,
        "quantization": quantization,
        "drift": drift,
        "base_model": lineage.get("base_model") or base_model_dir.name,
        "base_revision": lineage.get("base_revision"),
        "tokenizer_sha256": _sha256((base_model_dir / "tokenizer.json").read_bytes()),
        "template_sha256": _sha256(renderer.template.encode()),
        "max_answer_tokens": ANSWER_TOKENS,
        "stop_token_ids": list(renderer.stop_token_ids),
        "prompts": [
            {
                "prompt": renderer.decode(question.token_ids, skip_special_tokens=False),
                "prompt_token_ids": question.token_ids,
                "messages": question.messages,
                "tools": question.tools,
                "answer": renderer.decode(answer.token_ids),
                "answer_token_ids": answer.token_ids,
                "logprobs": [round(value, 6) for value in answer.logprobs],
                "base_logprobs": [round(value, 6) for value in alone],
                "is_ended": answer.is_ended,
            }
            for question, answer, alone in zip(questions, answers, base, strict=True)
        ],
    }


def precision_of(model) -> str:
    """The number format in which the base computes: that of its first weight that is no adapter's and not packed."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    for name, parameter in model.named_parameters():
        if "lora_" not in name and parameter.dtype in names:
            return names[parameter.dtype]
    return "fp32"


def _asked(model, ask):
    """What `ask` returns while the model is in eval mode and keeps no gradients."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return ask()
    finally:
        model.train(was_training)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
