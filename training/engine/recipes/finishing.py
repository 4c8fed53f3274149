"""The end of every recipe with a LoRA adapter: the best one is asked and written with all that is known of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.engine.artifacts import library_versions, write_adapter
from training.engine.errors import is_memory_error
from training.engine.loading import add_adapter, free_bytes, load_adapter_tensors, load_model
from training.engine.parity import (
    PROMPTS,
    base_logprobs,
    drift_between,
    parity_record,
    precision_of,
    reference_answers,
)

if TYPE_CHECKING:
    from training.engine.answering import Answer, Question
    from training.engine.config import TrainingConfig
    from training.engine.exact_trainer import ExactTrainer
    from training.engine.loading import Machine
    from training.engine.plan import FittedPlan
    from training.engine.recipes.steps import Base
    from training.engine.watcher import Watcher

# Beside its weights a model that answers takes a little: a cache, scores over the vocabulary.
ROOM_TO_ANSWER = 1.1


def finish(
    run: dict[str, Any],
    config: TrainingConfig,
    plan: FittedPlan,
    trainer: ExactTrainer,
    watcher: Watcher,
    *,
    base: Base,
    machine: Machine,
    asked: list[Question],
    history: dict[str, Any],
) -> None:
    """Writes the adapter of the best step with all that is known of it, then reports `finished`."""
    method = run.get("method", "sft")
    lineage = run.get("lineage") or {}
    metrics = watcher.summary()
    if watcher.best_step != watcher.step:
        load_adapter_tensors(trainer.model, watcher.best_adapter)
    versions = library_versions()
    # All processes ask the model, since each may hold a part of it; the first writes.
    tensors = trainer.adapter()
    questions = asked[:PROMPTS]
    answers = reference_answers(trainer.model, questions, base.renderer)
    alone = base_logprobs(trainer.model, questions, answers)
    peak = int(trainer.work.ranks.most(trainer.memory_bytes()))
    if not trainer.work.ranks.is_first:
        return
    found = {
        "answers": answers,
        "base": alone,
        "precision": precision_of(trainer.model),
        "quantization": config.quantization,
        "drift": None,
    }
    if config.quantization != "none":
        found |= _asked_whole(
            config, trainer, tensors, base=base, machine=machine, questions=questions, squeezed=answers
        )
    adapter_dir = write_adapter(
        trainer.model,
        tensors,
        output_dir=Path(run["output_dir"]),
        base_model_dir=base.directory,
        run={
            "method": method,
            "config": config.to_dict(method),
            "plan": dataclasses.asdict(plan),
            "lineage": lineage,
            "precision": machine.precision,
            "library_versions": versions,
            **history,
        },
        metrics=metrics,
        parity=parity_record(
            questions, renderer=base.renderer, base_model_dir=base.directory, lineage=lineage, **found
        ),
    )
    trainer.work.reporter.report(
        "finished",
        adapter_dir=str(adapter_dir),
        **{name: value for name, value in metrics.items() if name != "history"},
        peak_memory_bytes=peak,
        library_versions=versions,
    )


def _asked_whole(
    config: TrainingConfig,
    trainer: ExactTrainer,
    tensors: dict[str, Any],
    *,
    base: Base,
    machine: Machine,
    questions: list[Question],
    squeezed: list[Answer],
) -> dict[str, Any]:
    """The same questions to the adapter on the base as it is served, not in 4 bits, and how far the two are apart.

    Where the whole base does not fit into the memory beside what is still held, the answers in 4 bits stay, and the
    log says so.
    """
    reporter = trainer.work.reporter
    needed = (
        base.facts.parameters * (2 if machine.is_bf16 and machine.device == "cuda" else 4) * ROOM_TO_ANSWER
    )
    kept = "the reference answers are those of the base model in 4 bits"
    if needed > (free := free_bytes(machine.device)):
        reporter.report(
            "log",
            message=f"The whole base model takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free, so {kept}.",
        )
        return {}
    try:
        model = add_adapter(load_model(base.directory, machine.device, machine.is_bf16, whole=True), config)
        load_adapter_tensors(model, tensors)
        answers = reference_answers(model, questions, base.renderer)
        alone = base_logprobs(model, questions, answers)
        drift = drift_between(model, questions, squeezed, answers)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        reporter.report("log", message=f"Memory ran out with the whole base model, so {kept}.")
        return {}
    return {
        "answers": answers,
        "base": alone,
        "precision": precision_of(model),
        "quantization": "none",
        "drift": drift,
    }
