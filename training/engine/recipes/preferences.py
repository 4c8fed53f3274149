"""Learning from comparisons (DPO, ORPO) and from good and bad answers (KTO), to a directory that PEFT opens."""

from typing import Any

from rendering.light_imports import uncollected
from training.engine.comparisons import Marked, read_marked, read_pairs
from training.engine.config import KTO_ROWS, TrainingConfig
from training.engine.control import Control
from training.engine.data import Examples
from training.engine.errors import BAD_CONFIG, BAD_DATA, EngineError
from training.engine.plan import fit_to_data
from training.engine.progress import Reporter
from training.engine.recipes import steps
from training.engine.spreading import Ranks

# How far apart the weighted counts of good and bad answers may be; arXiv 2402.01306, Eq. (8), has 1 to 4/3.
BALANCE = 4 / 3


def run(run: dict[str, Any], config: TrainingConfig, reporter: Reporter, control: Control) -> None:
    """Trains and reports from `started` to `finished`; raises EngineError and Paused as `sft.run` does."""
    # 1. Look at the model and the examples before anything heavy is imported: most mistakes show here.
    method = run["method"]
    if Ranks.here().is_sharded:
        raise EngineError(
            BAD_CONFIG,
            "Answers cannot be compared while the base model is split over several GPUs (spread is 'fsdp').",
            "Choose ddp, which keeps it on each, and nf4 if it is too large for one.",
        )
    base = steps.open_base(run, config)
    read = read_marked if method == "kto" else read_pairs
    examples: Examples = read(run["rows_path"], base.renderer, base.max_length)
    steps.report_left_out(examples, base.max_length, reporter)
    if method == "kto":
        _look_at_marks(examples.train, config, reporter)
    plan = fit_to_data(config, len(examples.train))

    # 2. Load the base model, put an adapter on it, and keep what the reference needs of it as it is now.
    with uncollected():
        from training.engine.answer_passes import longest_of
        from training.engine.loading import prepare_machine
        from training.engine.objectives import objective_of
        from training.engine.preference_trainer import PreferenceTrainer
        from training.engine.reference import adapter_reference, base_reference

    machine = prepare_machine(config, base.facts)
    start_adapter_dir = run.get("start_adapter_dir")
    model = steps.load_with_adapter(base, config, machine, start_adapter_dir)
    reference = adapter_reference(model) if start_adapter_dir else base_reference(model)

    # 3. Build the trainer around them.
    longest = max(longest_of(row) for row in [*examples.train, *examples.held_out])
    work = steps.work_of(
        run, config, plan, reporter, base=base, examples=examples, longest=longest, is_gpu=machine.device == "cuda"
    )  # fmt: skip
    trainer = PreferenceTrainer(
        objective=objective_of(method, config, base.max_length),
        reference=reference,
        work=work,
        model=model,
        args=steps.trainer_settings(run, config, plan, machine, base, work.tokens_per_pass),
        processing_class=base.trainer_tokenizer(),
    )

    # 4. Train, with checks of the held-out rows from step 0, the reference itself, on; keep the best adapter.
    steps.learn(run, config, plan, trainer, control, examples=examples, base=base, machine=machine)


def _look_at_marks(rows: list[Marked], config: TrainingConfig, reporter: Reporter) -> None:
    """Raises EngineError where KTO cannot learn; says so where good or bad answers would hardly count."""
    if len(rows) < KTO_ROWS:
        raise EngineError(
            BAD_DATA,
            f"There is {len(rows)} marked answer to train on; KTO needs at least {KTO_ROWS}.",
            "Add marked answers.",
        )
    good = sum(row.is_good for row in rows)
    bad = len(rows) - good
    if not good or not bad:
        reporter.report(
            "log",
            message=f"All {len(rows)} answers are {'good' if good else 'bad'}; KTO learns more from both.",
        )
        return
    share = (good * config.desirable_weight) / (bad * config.undesirable_weight)
    if not 1 / BALANCE <= share <= BALANCE:
        name, weight = (
            ("undesirable_weight", good * config.desirable_weight / bad)
            if share > 1
            else ("desirable_weight", bad * config.undesirable_weight / good)
        )
        reporter.report(
            "log",
            message=f"{good} answers are good and {bad} are bad, so one side counts far more than the other; "
            f"{name} {weight:.2g} would even that out.",
        )
