"""Supervised fine-tuning of a LoRA adapter, from rows to a directory that PEFT opens."""

from typing import Any

from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.data import Examples, read_examples
from training.engine.plan import FittedPlan, fit_to_data
from training.engine.progress import Reporter
from training.engine.recipes import steps

PLACES_NAMED = 10


def run(run: dict[str, Any], config: TrainingConfig, reporter: Reporter, control: Control) -> None:
    """Trains and reports from `started` to `finished`.

    `run` is what RUN.json holds. Raises EngineError for whatever a person can mend, and Paused when a pause was asked
    for and everything is on disk; other errors are ours.
    """
    # 1. Look at the model and the examples before anything heavy is imported: most mistakes show here.
    base = steps.open_base(run, config)
    examples = read_examples(run["rows_path"], base.renderer, base.max_length)
    _report_left_out(examples, base.max_length, reporter)
    plan = fit_to_data(config, len(examples.train))

    # 2. Load the base model and put an adapter on it.
    from training.engine.loading import prepare_machine

    machine = prepare_machine(config, base.facts)
    model = steps.load_with_adapter(base, config, machine, run.get("start_adapter_dir"))

    # 3. Build the trainer around them, and the watcher around the trainer.
    from training.engine.trainer import StepTrainer

    work = steps.work_of(
        run, config, plan, reporter, base=base, train=examples.train, held_out=examples.held_out,
        longest=_longest(examples), is_gpu=machine.device == "cuda",
    )  # fmt: skip
    work.questions = steps.questions_of(examples.first_held_out_rows, base, config.sample_tokens)[
        : config.sample_count
    ]
    trainer = StepTrainer(
        work=work,
        model=model,
        args=_trainer_settings(run, config, plan, machine, base, work.tokens_per_pass),
        processing_class=base.trainer_tokenizer(),
    )
    watcher = steps.watch(run, config, plan, trainer, control)
    told = {**steps.plan_told(plan), **_examples_told(examples)}
    reporter.report("started", **told, **steps.model_told(model, machine, config), resumed_step=watcher.step)

    # 4. Train. The watcher reports every step and checks the held-out rows, at step 0 on the untouched base.
    if not watcher.is_done:
        trainer.train()

    # 5. Write the best adapter with its history, then say so.
    asked = steps.questions_of([*examples.first_held_out_rows, *examples.first_rows], base)
    history = {
        "examples": {
            **_examples_told(examples),
            "rows_left_out": len(examples.too_long),
            "max_length": base.max_length,
        }
    }
    steps.finish(
        run, config, plan, trainer, watcher, base=base, machine=machine, asked=asked, history=history
    )


def _longest(examples: Examples) -> int:
    return max(len(example.input_ids) for example in [*examples.train, *examples.held_out])


def _examples_told(examples: Examples) -> dict[str, int]:
    return {
        "train_rows": len(examples.train),
        "held_out_rows": len(examples.held_out),
        "shortened_rows": examples.shortened_rows,
        "dropped_turns": examples.dropped_turns,
        "cut_tokens": examples.cut_tokens,
    }


def _report_left_out(examples: Examples, max_length: int, reporter: Reporter) -> None:
    count = len(examples.too_long)
    if not count:
        return
    named = ", ".join(examples.too_long[:PLACES_NAMED]) + (", …" if count > PLACES_NAMED else "")
    what = "1 example is" if count == 1 else f"{count} examples are"
    reporter.report(
        "log",
        message=f"{what} left out: the last question and answer alone are longer than {max_length} tokens ({named}).",
    )


def _trainer_settings(run, config: TrainingConfig, plan: FittedPlan, machine, base, budget: int):
    from trl import SFTConfig as TrlConfig

    return TrlConfig(
        **steps.library_settings(run, config, plan, machine, base, budget),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
