"""Supervised fine-tuning of a LoRA adapter, from rows to a directory that PEFT opens."""

from typing import Any

from rendering.light_imports import uncollected
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.data import read_examples
from training.engine.plan import fit_to_data
from training.engine.progress import Reporter
from training.engine.recipes import steps


def run(run: dict[str, Any], config: TrainingConfig, reporter: Reporter, control: Control) -> None:
    """Trains and reports from `started` to `finished`.

    `run` is what RUN.json holds. Raises EngineError for whatever a person can mend, and Paused when a pause was asked
    for and everything is on disk; other errors are ours.
    """
    # 1. Look at the model and the examples before anything heavy is imported: most mistakes show here.
    base = steps.open_base(run, config)
    examples = read_examples(run["rows_path"], base.renderer, base.max_length)
    steps.report_left_out(examples, base.max_length, reporter)
    plan = fit_to_data(config, len(examples.train))

    # 2. Load the base model and put an adapter on it.
    with uncollected():
        from training.engine.loading import prepare_machine
        from training.engine.trainer import StepTrainer

    machine = prepare_machine(config, base.facts)
    model = steps.load_with_adapter(base, config, machine, run.get("start_adapter_dir"))

    # 3. Build the trainer around them.
    longest = max(len(example.input_ids) for example in [*examples.train, *examples.held_out])
    work = steps.work_of(
        run, config, plan, reporter, base=base, examples=examples, longest=longest, is_gpu=machine.device == "cuda"
    )  # fmt: skip
    trainer = StepTrainer(
        work=work,
        model=model,
        args=steps.trainer_settings(run, config, plan, machine, base, work.tokens_per_pass),
        processing_class=base.trainer_tokenizer(),
    )

    # 4. Train, with checks of the held-out rows from step 0, the untouched base, on; keep the best adapter.
    steps.learn(run, config, plan, trainer, control, examples=examples, base=base, machine=machine)
