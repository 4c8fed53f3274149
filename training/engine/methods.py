"""The ways of training, each with the recipe that does it. No torch: the web process asks which there are."""

from dataclasses import dataclass

from training.engine.config import TrainingConfig
from training.engine.drill_config import DrillConfig
from training.engine.setting import Settings


@dataclass(frozen=True)
class Method:
    """One way of training.

    `recipe` is a module with `run(run, config, reporter, control)`. `learns_from` names the kinds of rows that it
    takes (docs/architecture.md, Rows), `config` is the class of its settings. `is_offered` is False for
    what only tests ask for. `can_split`: the base model may be split over several GPUs (`spread` fsdp).
    """

    name: str
    recipe: str
    learns_from: tuple[str, ...]
    is_offered: bool = True
    config: type[Settings] = TrainingConfig
    can_split: bool = False


METHODS: dict[str, Method] = {
    "sft": Method("sft", "training.engine.recipes.sft", ("chat", "text"), can_split=True),
    "dpo": Method("dpo", "training.engine.recipes.preferences", ("preference",)),
    "orpo": Method("orpo", "training.engine.recipes.preferences", ("preference",)),
    "kto": Method("kto", "training.engine.recipes.preferences", ("unpaired",)),
    "drill": Method(
        "drill", "training.engine.recipes.drill", ("chat", "text"), is_offered=False, config=DrillConfig
    ),
}
