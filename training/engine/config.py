"""The settings of a training, each with the words that form, API and docs show for it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from rendering.lengths import DEFAULT_MAX_LENGTH, LONGEST_MAX_LENGTH, SHORTEST_MAX_LENGTH
from training.engine.setting import ConfigError, Settings, kind_of, setting

__all__ = ["ConfigError", "TrainingConfig", "describe", "setting"]

SCHEDULERS = ("cosine", "linear", "constant", "constant_with_warmup")
PRECISIONS = ("auto", "fp32", "bf16")
QUANTIZATIONS = ("none", "nf4")
RECOMPUTATIONS = ("auto", "on", "off")
SPREADS = ("ddp", "fsdp")
# What each method starts from where it differs from learning by imitation.
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {},
    # Preferences need small steps: a large one wins the comparison by ruining both answers. Dropout would blur the
    # comparison with the reference, which has none.
    "dpo": {"epochs": 1, "learning_rate": 2e-5, "lora_dropout": 0.0, "beta": 0.1},
    "orpo": {"epochs": 1, "learning_rate": 5e-5, "lora_dropout": 0.0, "beta": 0.1},
    "kto": {"epochs": 1, "learning_rate": 2e-5, "lora_dropout": 0.0, "beta": 0.1},
}
# KTO measures how far the model has moved by answers to other rows' questions.
KTO_ROWS = 2


@dataclass(frozen=True)
class TrainingConfig(Settings):
    """The settings of every method that trains a LoRA adapter. Build it with `from_dict`, which checks every value."""

    DEFAULTS: ClassVar[dict[str, dict[str, Any]]] = METHOD_DEFAULTS

    epochs: int = setting(
        3,
        "Passes over the examples",
        "epochs",
        "How often every example is seen. More passes learn it more firmly, and by heart when there are too many.",
        minimum=1,
        maximum=100,
        basic=True,
    )
    learning_rate: float = setting(
        2e-4,
        "Speed of learning",
        "learning rate",
        "How far each step moves the adapter. Too high and the loss jumps about; too low and little is learned.",
        minimum=1e-7,
        maximum=0.1,
        basic=True,
    )
    max_length: int = setting(
        DEFAULT_MAX_LENGTH,
        "Longest example",
        "maximum length, tokens",
        "Longer conversations lose their oldest turns, never the answer to learn. Never above the model's context.",
        minimum=SHORTEST_MAX_LENGTH,
        maximum=LONGEST_MAX_LENGTH,
        basic=True,
    )
    batch_size: int = setting(
        4,
        "Examples at once",
        "batch size",
        "How many examples must fit into memory together. Lower it when memory is short.",
        minimum=1,
        maximum=256,
    )
    gradient_accumulation_steps: int = setting(
        4,
        "Batches per step",
        "gradient accumulation",
        "The adapter moves once per this many batches. Small data lowers it by itself, to get enough steps.",
        minimum=1,
        maximum=256,
    )
    lora_r: int = setting(
        16,
        "Size of the adapter",
        "LoRA rank, r",
        "A larger adapter can learn more, and takes more memory.",
        minimum=1,
        maximum=256,
    )
    lora_alpha: int = setting(
        32,
        "Strength of the adapter",
        "LoRA alpha",
        "How strongly the adapter acts; usually twice its size.",
        minimum=1,
        maximum=1024,
    )
    lora_dropout: float = setting(
        0.05,
        "Random forgetting",
        "LoRA dropout",
        "The share of the adapter's input left out at random in each step, against learning by heart.",
        minimum=0.0,
        maximum=0.9,
    )
    target_modules: tuple[str, ...] = setting(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        "Parts of the model",
        "target modules",
        "Names of the layers that get an adapter.",
    )
    lr_scheduler_type: str = setting(
        "cosine",
        "Course of the speed",
        "learning-rate schedule",
        "How the speed of learning falls from its peak to the end.",
        choices=SCHEDULERS,
    )
    warmup_ratio: float = setting(
        0.03,
        "Gentle start",
        "warm-up ratio",
        "The share of the steps in which the speed rises from zero.",
        minimum=0.0,
        maximum=0.5,
    )
    weight_decay: float = setting(
        0.0,
        "Pull towards zero",
        "weight decay",
        "Shrinks the adapter a little in every step.",
        minimum=0.0,
        maximum=1.0,
    )
    min_steps: int = setting(
        60,
        "At least this many steps",
        "minimum steps",
        "Few examples are gone over more often until there are this many steps.",
        minimum=1,
        maximum=100_000,
    )
    max_steps: int | None = setting(
        None,
        "At most this many steps",
        "maximum steps",
        "Ends the training early, whatever else is set.",
        minimum=1,
        maximum=10_000_000,
        optional=True,
    )
    eval_steps: int | None = setting(
        None,
        "Steps between checks",
        "evaluation steps",
        "How often the held-out examples are checked; left empty, about twelve times in a training.",
        minimum=1,
        maximum=10_000_000,
        optional=True,
    )
    seed: int = setting(
        42,
        "Seed",
        "random seed",
        "The same seed, data and machine give the same adapter.",
        minimum=0,
        maximum=2**31 - 1,
    )
    precision: str = setting(
        "auto",
        "Number format",
        "precision",
        "auto takes bf16 where the hardware computes it fast, else fp32.",
        choices=PRECISIONS,
    )

    quantization: str = setting(
        "none",
        "Squeeze the base model",
        "quantisation",
        "nf4 keeps the base model in 4 bits while the adapter learns (QLoRA): a quarter of its memory, a bit slower.",
        choices=QUANTIZATIONS,
    )
    max_grad_norm: float = setting(
        1.0,
        "Longest step",
        "maximum gradient norm",
        "A gradient longer than this is shortened to it, so that one odd batch cannot throw the adapter off.",
        minimum=0.01,
        maximum=100.0,
    )
    activation_checkpointing: str = setting(
        "auto",
        "Recompute instead of keeping",
        "activation checkpointing",
        "Saves much memory for about a third of the speed; auto does it only where memory would be short.",
        choices=RECOMPUTATIONS,
    )
    early_stopping_checks: int | None = setting(
        None,
        "Stop when it gets no better",
        "early stopping, checks",
        "Ends the training when the held-out loss has not fallen for this many checks; left empty, never.",
        minimum=1,
        maximum=100,
        optional=True,
    )
    checkpoint_steps: int | None = setting(
        None,
        "Steps between checkpoints",
        "checkpoint steps",
        "How often everything is saved so that the training can go on from there; left empty, at every check.",
        minimum=1,
        maximum=10_000_000,
        optional=True,
    )
    checkpoint_minutes: float = setting(
        10.0,
        "Minutes between checkpoints",
        "checkpoint minutes",
        "A checkpoint is also written after this much time, however few steps were made.",
        minimum=0.01,
        maximum=1440.0,
    )
    sample_count: int = setting(
        2,
        "Answers to look at",
        "samples",
        "How many held-out questions it answers at each check, so that you can read what it writes by then.",
        minimum=0,
        maximum=16,
    )
    sample_tokens: int = setting(
        48,
        "Length of these answers",
        "sample length, tokens",
        "At most so many tokens each; longer ones cost time at every check.",
        minimum=1,
        maximum=1024,
    )
    spread: str = setting(
        "ddp",
        "Several GPUs",
        "parallelism",
        "With more than one GPU: ddp keeps the base model on each, fsdp splits it over all of them (not to compare "
        "answers).",
        choices=SPREADS,
    )
    beta: float = setting(
        0.1,
        "Pull towards the preferred answer",
        "beta",
        "DPO and KTO: how closely it stays with what it knew; lower moves further. ORPO: the weight of the preference.",
        minimum=0.001,
        maximum=10.0,
        methods=("dpo", "orpo", "kto"),
    )
    label_smoothing: float = setting(
        0.0,
        "Doubt in the comparisons",
        "label smoothing",
        "The share of comparisons that are taken to be the wrong way round, for examples with some careless choices.",
        minimum=0.0,
        maximum=0.49,
        methods=("dpo",),
    )
    desirable_weight: float = setting(
        1.0,
        "Weight of good answers",
        "desirable weight",
        "Raise it when there are far fewer good answers than bad ones.",
        minimum=0.01,
        maximum=100.0,
        methods=("kto",),
    )
    undesirable_weight: float = setting(
        1.0,
        "Weight of bad answers",
        "undesirable weight",
        "Raise it when there are far fewer bad answers than good ones.",
        minimum=0.01,
        maximum=100.0,
        methods=("kto",),
    )

    @classmethod
    def from_dict(cls, values: dict[str, Any] | None, method: str = "sft") -> Self:
        config = super().from_dict(values, method)
        if method == "kto" and config.batch_size < KTO_ROWS:
            raise ConfigError(
                "batch_size",
                config.batch_size,
                f"batch_size is {config.batch_size}; learning from good and bad answers (KTO) needs at least "
                f"{KTO_ROWS}, to tell how far the model has moved.",
            )
        return config


def describe(method: str | None = None) -> list[dict[str, Any]]:
    """One dict per setting of `method` (of all without one), in order: name, label, term, help, kind, default,
    minimum, maximum, choices, optional, basic, methods. `kind` is integer, number, choice or list.
    """
    found = []
    for entry in dataclasses.fields(TrainingConfig):
        if method is not None and method not in entry.metadata["methods"]:
            continue
        default = METHOD_DEFAULTS.get(method or "", {}).get(entry.name, entry.default)
        default = list(default) if isinstance(default, tuple) else default
        found.append({"name": entry.name, "kind": kind_of(entry), "default": default, **entry.metadata})
    return found
