"""The settings of a job in groups, with the words of the engine's own dataclass."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.engine.config import describe
from training.models import TrainingJob

GROUPS = [
    (
        gettext_lazy("How it learns"),
        ("epochs", "learning_rate", "lr_scheduler_type", "warmup_ratio", "batch_size", "gradient_accumulation_steps",
         "max_length", "min_steps", "max_steps", "weight_decay", "max_grad_norm", "seed"),
    ),
    (gettext_lazy("What it may move"), ("beta", "label_smoothing", "desirable_weight", "undesirable_weight")),
    (gettext_lazy("The adapter"), ("lora_r", "lora_alpha", "lora_dropout", "target_modules")),
    (
        gettext_lazy("Memory and machines"),
        ("precision", "quantization", "activation_checkpointing", "spread"),
    ),
    (
        gettext_lazy("Checks and checkpoints"),
        ("eval_steps", "early_stopping_checks", "checkpoint_steps", "checkpoint_minutes", "sample_count",
         "sample_tokens"),
    ),
]  # fmt: skip


def grouped(job: TrainingJob) -> list[dict[str, Any]]:
    """`[{"title", "rows": [{"name", "label", "term", "value", "is_changed"}]}]`; a group without rows is left out.

    `is_changed`: other than the default of its method. What is in no group comes last.
    """
    known = {entry["name"]: entry for entry in describe(job.method)}
    placed = {name for _title, names in GROUPS for name in names}
    rest = tuple(name for name in job.config if name not in placed)
    groups = [
        {
            "title": title,
            "rows": [row(known.get(name), name, job.config[name]) for name in names if name in job.config],
        }
        for title, names in [*GROUPS, (gettext_lazy("Others"), rest)]
    ]
    return [group for group in groups if group["rows"]]


def row(entry: dict | None, name: str, value: Any) -> dict[str, Any]:
    shown = ", ".join(value) if isinstance(value, list) else _("by itself") if value is None else value
    if entry is None:  # of a drill, or of an earlier engine
        return {"name": name, "label": name, "term": "", "value": shown, "is_changed": False}
    return {
        "name": name,
        "label": entry["label"],
        "term": entry["term"],
        "value": shown,
        "is_changed": value != entry["default"],
    }
