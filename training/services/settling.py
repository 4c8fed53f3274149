"""All settings of a job: what was asked for, else what suits the base model, else the method's defaults."""

from base_models.models import BaseModel
from training import continuing
from training.engine.methods import METHODS
from training.engine.setting import ConfigError
from training.models import Adapter
from training.services.refusing import StartRefused, refuse_unknown_method

# Settings of which the best value depends on what is learned, not on the model alone.
ABOUT_LEARNING = (
    "epochs",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_ratio",
    "weight_decay",
    "lora_dropout",
    "min_steps",
    "max_steps",
)


def suits(base_model: BaseModel, method: str) -> dict:
    """What is known to suit a base model: what stands under the method's own name, before what was found for learning
    by example, of which other methods take what concerns the model and its memory."""
    if not METHODS[method].is_offered:
        return {}
    found = base_model.recommended_config
    shared = {name: value for name, value in found.items() if name not in METHODS}
    kept = {name: value for name, value in shared.items() if method == "sft" or name not in ABOUT_LEARNING}
    return kept | found.get(method, {})


def settled_config(
    base_model: BaseModel,
    config: dict | None,
    method: str = "sft",
    start_adapter: Adapter | None = None,
) -> dict:
    """All settings of a job: what was asked for, else what suits the base model, else the method's defaults.

    An adapter to go on from brings its shape. Raises `StartRefused` that names the field, the value received and the
    bounds.
    """
    refuse_unknown_method(method)
    asked = config or {}
    try:
        kept = continuing.settings_of(start_adapter, asked) if start_adapter else {}
        given = {**suits(base_model, method), **asked, **kept}
        return METHODS[method].config.from_dict(given, method).to_dict(method)
    except (ConfigError, continuing.CannotContinue) as problem:
        raise StartRefused(str(problem), field=problem.field) from problem
