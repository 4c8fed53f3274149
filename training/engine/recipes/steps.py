"""The steps that every recipe with a LoRA adapter takes, in the order in which it takes them.

Imports torch and the libraries when called, so that most mistakes show before they are loaded.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rendering import Renderer, RenderError
from rendering.model_facts import BaseModelFacts, read_model_facts
from training.engine.answering import Question, question_of
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.errors import BAD_CHECKPOINT, BAD_MODEL, EngineError
from training.engine.plan import FittedPlan, tokens_per_pass
from training.engine.progress import Reporter
from training.engine.spreading import Ranks, own_seed

if TYPE_CHECKING:
    from training.engine.data import Examples, Row
    from training.engine.exact_trainer import ExactTrainer, Work
    from training.engine.loading import Machine
    from training.engine.watcher import Watcher

PLACES_NAMED = 10


@dataclass(frozen=True)
class Base:
    """A base model before it is loaded. `max_length` is in tokens, within its context; `name` as others know it."""

    directory: Path
    facts: BaseModelFacts
    renderer: Renderer
    max_length: int
    name: str
    revision: str | None

    def trainer_tokenizer(self):
        from training.engine.loading import trainer_tokenizer

        return trainer_tokenizer(self.directory, self.renderer)


def open_base(run: dict[str, Any], config: TrainingConfig) -> Base:
    """Reads what stands about the base model; raises EngineError or BadModel if it cannot be trained."""
    directory = Path(run["base_model_dir"])
    facts = read_model_facts(directory)
    try:
        renderer = Renderer.from_directory(directory)
    except RenderError as error:
        raise EngineError(BAD_MODEL, str(error), "Choose a base model with a chat template.") from error
    lineage = run.get("lineage") or {}
    return Base(
        directory,
        facts,
        renderer,
        max_length=min(config.max_length, facts.context or config.max_length),
        name=lineage.get("base_model") or directory.name,
        revision=lineage.get("base_revision"),
    )


def load_with_adapter(base: Base, config: TrainingConfig, machine: Machine, start_adapter_dir: str | None):
    """The base model with a LoRA adapter, a new one or that of `start_adapter_dir`."""
    from training.engine.loading import add_adapter, load_model

    model = load_model(base.directory, machine.device, machine.is_bf16, config.quantization)
    model = add_adapter(model, config, start_adapter_dir)
    # Of a split model the layers' weights change places while it computes.
    if machine.device == "cpu" and not machine.is_bf16 and not Ranks.here().is_sharded:
        from training.engine.cpu_lora import use_cpu_lora

        use_cpu_lora(model)
    return model


def questions_of(rows: list[Row], base: Base, room: int = 64) -> list[Question]:
    """The questions of `rows`, without those that leave less than `room` tokens for an answer."""
    found = []
    for row in rows:
        question = question_of(row, base.renderer)
        if len(question.token_ids) + room <= base.max_length:
            found.append(question)
    return found


def work_of(
    run: dict[str, Any],
    config: TrainingConfig,
    plan: FittedPlan,
    reporter: Reporter,
    *,
    base: Base,
    examples: Examples,
    longest: int,
    is_gpu: bool,
) -> Work:
    """What the trainer goes through; `longest` is the longest row in tokens, as it lies in a pass."""
    from training.engine.exact_trainer import Work
    from training.engine.order import RowOrder

    return Work(
        train=examples.train,
        held_out=examples.held_out,
        order=RowOrder(len(examples.train), plan.rows_per_step, config.seed),
        tokens_per_pass=tokens_per_pass(plan, longest, is_gpu=is_gpu),
        longest_row=longest,
        renderer=base.renderer,
        reporter=reporter,
        base_name=base.name,
        base_revision=base.revision,
        questions=questions_of(examples.first_held_out_rows, base, config.sample_tokens)[
            : config.sample_count
        ],
        sample_tokens=config.sample_tokens,
        identity={
            "method": run.get("method", "sft"),
            "plan": dataclasses.asdict(plan),
            "held_out_rows": len(examples.held_out),
            "seed": config.seed,
        },
        ranks=Ranks.here(),
    )


def trainer_settings(
    run: dict[str, Any], config: TrainingConfig, plan: FittedPlan, machine: Machine, base: Base, budget: int
):
    """TRL's settings of every recipe; rows come ready, so it has nothing to prepare."""
    from trl import SFTConfig as TrlConfig

    from training.engine.loading import needs_checkpointing

    is_recomputed = needs_checkpointing(config, base.facts, budget, machine.is_bf16)
    return TrlConfig(
        output_dir=run["output_dir"],
        use_cpu=machine.device == "cpu",
        bf16=machine.is_bf16,
        fp16=False,
        max_steps=plan.total_steps,
        # A step's rows come at once; passes are ours.
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=math.ceil(config.warmup_ratio * plan.total_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        # Checkpoints and checks are the watcher's.
        save_strategy="no",
        eval_strategy="no",
        remove_unused_columns=False,
        # Free memory differs between processes; what they do must not.
        gradient_checkpointing=Ranks.here().from_first([is_recomputed])[0],
        dataloader_pin_memory=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def watch(
    run: dict[str, Any], config: TrainingConfig, plan: FittedPlan, trainer: ExactTrainer, control: Control
) -> Watcher:
    """A watcher around `trainer`; both go on from `resume_from` if the run names one.

    From here on each of several processes draws its own random numbers.
    """
    from transformers import set_seed

    from training.engine.checkpoints import read_checkpoint
    from training.engine.exact_trainer import WatchingCallback
    from training.engine.pace import Rhythm
    from training.engine.watcher import Watcher

    watcher = Watcher(
        rhythm=Rhythm(
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            eval_steps=plan.eval_steps,
            learning_rate=config.learning_rate,
            checkpoint_steps=config.checkpoint_steps,
            checkpoint_seconds=config.checkpoint_minutes * 60,
            early_stopping_checks=config.early_stopping_checks,
        ),
        learner=trainer,
        reporter=trainer.work.reporter,
        control=control,
        checkpoints_dir=run.get("checkpoints_dir"),
        ranks=trainer.work.ranks,
    )
    if not trainer.work.ranks.is_first:
        set_seed(own_seed(config.seed, trainer.work.ranks.index))
    trainer.add_callback(WatchingCallback(watcher, trainer))
    if run.get("resume_from"):
        snapshot = read_checkpoint(run["resume_from"])
        _refuse_other(snapshot.numbers["identity"], trainer.work.identity)
        trainer.resume(snapshot)
        watcher.restore(snapshot)
    return watcher


def learn(
    run: dict[str, Any],
    config: TrainingConfig,
    plan: FittedPlan,
    trainer: ExactTrainer,
    control: Control,
    *,
    examples: Examples,
    base: Base,
    machine: Machine,
) -> None:
    """Reports `started`, trains, and writes the best adapter with its history; the watcher does the rest."""
    from training.engine.recipes.finishing import finish

    watcher = watch(run, config, plan, trainer, control)
    told = {**plan_told(plan), **examples_told(examples), **model_told(trainer.model, machine, config)}
    trainer.work.reporter.report("started", **told, resumed_step=watcher.step)
    if not watcher.is_done:
        trainer.train()
    asked = questions_of([*examples.first_held_out_rows, *examples.first_rows], base)
    left_out = {"rows_left_out": len(examples.too_long), "max_length": base.max_length}
    history = {"examples": {**examples_told(examples), **left_out}}
    finish(run, config, plan, trainer, watcher, base=base, machine=machine, asked=asked, history=history)


def report_left_out(examples: Examples, max_length: int, reporter: Reporter) -> None:
    count = len(examples.too_long)
    if not count:
        return
    named = ", ".join(examples.too_long[:PLACES_NAMED]) + (", …" if count > PLACES_NAMED else "")
    what = "1 example is" if count == 1 else f"{count} examples are"
    reporter.report(
        "log",
        message=f"{what} left out: the last question and answer alone are longer than {max_length} tokens ({named}).",
    )


def examples_told(examples: Examples) -> dict[str, int]:
    return {
        "train_rows": len(examples.train),
        "held_out_rows": len(examples.held_out),
        "shortened_rows": examples.shortened_rows,
        "dropped_turns": examples.dropped_turns,
        "cut_tokens": examples.cut_tokens,
    }


def plan_told(plan: FittedPlan) -> dict[str, int]:
    names = ("total_steps", "epochs", "batch_size", "gradient_accumulation_steps")
    return {name: getattr(plan, name) for name in names}


def model_told(model, machine: Machine, config: TrainingConfig) -> dict[str, Any]:
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "trainable_parameters": trainable,
        "device": machine.name,
        "processes": machine.processes,
        "quantization": config.quantization,
    }


def _refuse_other(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A checkpoint of other examples or another plan would go on to something that is neither."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise EngineError(
                BAD_CHECKPOINT,
                f"The checkpoint is of another training: its {name.replace('_', ' ')} is {found.get(name)!r} "
                f"instead of {value!r}.",
                "Go on with the settings and the examples that it was begun with, or start again.",
            )
