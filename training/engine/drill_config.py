"""The settings of a drill: a training of seconds, and the faults to inject into it."""

from dataclasses import dataclass

from training.engine.setting import Settings, setting

DRILL = ("drill",)


@dataclass(frozen=True)
class DrillConfig(Settings):
    """A drill learns numbers made from its seed; with equal settings it ends in the same bits."""

    steps: int = setting(
        40, "Steps", "steps", "How many steps it makes.", minimum=1, maximum=10_000_000, methods=DRILL
    )
    seconds_per_step: float = setting(
        0.0, "Seconds per step", "pace", "How long it sleeps in each step.", minimum=0.0, maximum=3600.0,
        methods=DRILL,
    )  # fmt: skip
    width: int = setting(
        16, "Width", "hidden size", "Size of its little network.", minimum=1, maximum=8192, methods=DRILL
    )
    learning_rate: float = setting(
        0.01, "Speed of learning", "learning rate", "How far each step moves it.", minimum=1e-7, maximum=1e30,
        methods=DRILL,
    )  # fmt: skip
    eval_steps: int = setting(
        10, "Steps between checks", "evaluation steps", "How often its held-out loss is measured.",
        minimum=1, maximum=10_000_000, methods=DRILL,
    )  # fmt: skip
    checkpoint_steps: int | None = setting(
        None, "Steps between checkpoints", "checkpoint steps", "How often everything is saved.",
        minimum=1, maximum=10_000_000, optional=True, methods=DRILL,
    )  # fmt: skip
    checkpoint_minutes: float = setting(
        10.0, "Minutes between checkpoints", "checkpoint minutes", "A checkpoint also after this much time.",
        minimum=0.0001, maximum=1440.0, methods=DRILL,
    )  # fmt: skip
    early_stopping_checks: int | None = setting(
        None, "Stop when it gets no better", "early stopping, checks", "After so many checks without progress.",
        minimum=1, maximum=100, optional=True, methods=DRILL,
    )  # fmt: skip
    sample_count: int = setting(
        1, "Answers to look at", "samples", "How many it shows at each check.", minimum=0, maximum=16,
        methods=DRILL,
    )  # fmt: skip
    seed: int = setting(
        42, "Seed", "random seed", "Makes its data, its network and its order.", minimum=0, maximum=2**31 - 1,
        methods=DRILL,
    )  # fmt: skip
    tokens_per_pass: int = setting(
        32, "Tokens in a pass", "tokens per pass", "Rows that it puts through at once; a row is one token.",
        minimum=1, maximum=100_000, methods=DRILL,
    )  # fmt: skip
    oom_above: int | None = setting(
        None, "Memory for so many tokens", "injected fault", "A pass of more tokens runs out of memory.",
        minimum=0, maximum=100_000, optional=True, methods=DRILL,
    )  # fmt: skip
    nan_at_step: int | None = setting(
        None, "No number at step", "injected fault", "The loss of this step is no number.",
        minimum=1, maximum=10_000_000, optional=True, methods=DRILL,
    )  # fmt: skip
    crash_at_step: int | None = setting(
        None, "Killed at step", "injected fault",
        "It kills itself before this step, if this attempt began at step 0: an attempt that goes on from a "
        "checkpoint gets past it.",
        minimum=1, maximum=10_000_000, optional=True, methods=DRILL,
    )  # fmt: skip
