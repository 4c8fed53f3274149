"""The settings of a training, each with the words that form, API and docs show for it."""

import dataclasses
import re
import reprlib
import sys
from dataclasses import dataclass, field
from typing import Any

from rendering.lengths import DEFAULT_MAX_LENGTH, LONGEST_MAX_LENGTH, SHORTEST_MAX_LENGTH

SCHEDULERS = ("cosine", "linear", "constant", "constant_with_warmup")
PRECISIONS = ("auto", "fp32", "bf16")
QUANTIZATIONS = ("none", "nf4")
RECOMPUTATIONS = ("auto", "on", "off")
SPREADS = ("ddp", "fsdp")
# What each method starts from where it differs from learning by imitation.
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {},
    # Preferences need small steps: a large one wins the comparison by ruining both answers.
    "dpo": {"epochs": 1, "learning_rate": 2e-5, "beta": 0.1},
    "orpo": {"epochs": 1, "learning_rate": 5e-5, "beta": 0.1},
    "kto": {"epochs": 1, "learning_rate": 2e-5, "beta": 0.1},
}
MODULE_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")


class ConfigError(ValueError):
    """`field` was given `value`, which it cannot take; the text names both and the bounds."""

    def __init__(self, field_name: str, value: Any, message: str):
        super().__init__(message)
        self.field = field_name
        self.value = value
        self.message = message


def setting(
    default,
    label,
    term,
    help_text,
    *,
    minimum=None,
    maximum=None,
    choices=None,
    optional=False,
    basic=False,
    methods=None,
):
    """A config field: plain `label`, the field's `term`, `help`, inclusive bounds; `basic` ones show first.

    `methods` names the methods that have it, all if left out.
    """
    metadata = {
        "label": label,
        "term": term,
        "help": help_text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "optional": optional,
        "basic": basic,
        "methods": methods or tuple(METHOD_DEFAULTS),
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of every method that trains a LoRA adapter. Build it with `from_dict`, which checks every value."""

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
        "With more than one GPU: ddp keeps the base model on each, fsdp splits it over all of them.",
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
    def from_dict(cls, values: dict[str, Any] | None, method: str = "sft") -> "TrainingConfig":
        """Checked settings of `method`; a left-out field takes the method's default.

        Raises ConfigError naming the first bad one.
        """
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError("config", values, f"config should be an object of settings, not {values!r}.")
        fields = {f.name: f for f in dataclasses.fields(cls) if method in f.metadata["methods"]}
        for name in values:
            if name not in fields:
                raise ConfigError(
                    str(name), values[name], f"There is no setting {name!r}; known are {', '.join(fields)}."
                )
        given = {**METHOD_DEFAULTS[method], **values}
        return cls(**{name: _checked(fields[name], value) for name, value in given.items()})

    def to_dict(self, method: str = "sft") -> dict[str, Any]:
        """All settings of `method`, ready for JSON."""
        found = {
            entry.name: getattr(self, entry.name)
            for entry in dataclasses.fields(self)
            if method in entry.metadata["methods"]
        }
        found["target_modules"] = list(self.target_modules)
        return found


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
        found.append({"name": entry.name, "kind": _kind(entry), "default": default, **entry.metadata})
    return found


def _kind(entry: dataclasses.Field) -> str:
    if entry.metadata["choices"]:
        return "choice"
    if isinstance(entry.default, tuple):
        return "list"
    return "number" if isinstance(entry.default, float) else "integer"


def _checked(entry: dataclasses.Field, value: Any) -> Any:
    name, rules, kind = entry.name, entry.metadata, _kind(entry)
    if value is None and rules["optional"]:
        return None
    if kind == "choice":
        if value not in rules["choices"]:
            raise ConfigError(name, value, f"{name} is {value!r}; it can be {', '.join(rules['choices'])}.")
        return value
    if kind == "list":
        names = [value] if isinstance(value, str) else value
        good = isinstance(names, (list, tuple)) and 0 < len(names) <= 100
        if not good or not all(isinstance(x, str) and MODULE_NAME.fullmatch(x) for x in names):
            raise ConfigError(
                name, value, f"{name} is {value!r}; it should be a list of layer names such as q_proj."
            )
        return tuple(dict.fromkeys(names))
    # An int may be larger than any float, so that neither isfinite nor a format with :g can take it.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:
        raise ConfigError(name, value, f"{name} is {reprlib.repr(value)}; it should be a number.")
    if kind == "integer":
        if value != int(value):
            raise ConfigError(name, value, f"{name} is {value!r}; it should be a whole number.")
        value = int(value)
    else:
        value = float(value)
    if not rules["minimum"] <= value <= rules["maximum"]:
        raise ConfigError(
            name,
            value,
            f"{name} is {value:g}; it should be between {rules['minimum']:g} and {rules['maximum']:g}.",
        )
    return value
