"""What a plan's settings come to: the base model's, then the preset's, then what was changed by hand."""

from dataclasses import dataclass, replace

from training.continuing import KEPT_SETTINGS
from training.engine.config import describe
from training.estimating import Asked
from training.models import Plan
from training.presets import Preset, presets_for
from training.services import refuse_start, suits


@dataclass(frozen=True)
class Settled:
    """`asked` is the training as the plan has it, `config` what differs from the base model's settings in it.

    `presets` holds every preset with the training that it would be, without what was changed by hand.
    """

    asked: Asked
    preset: Preset
    config: dict
    presets: tuple[tuple[Preset, Asked], ...]


def settle(plan: Plan) -> Settled:
    """Raises `StartRefused` if the plan cannot be used as it is."""
    if plan.start_adapter is not None:
        refuse_start(plan.start_adapter, owner=plan.owner, base_model=plan.base_model)
    plain = Asked(
        plan.dataset_version,
        plan.base_model,
        method=plan.method,
        start_adapter=plan.start_adapter,
        devices=plan.device_count,
    )
    offered = tuple(fitted_presets(plain))
    preset = next((one for one, _asked in offered if one.name == plan.preset), offered[1][0])
    config = {**preset.config, **free_settings(plan)}
    return Settled(plain.again(config), preset, config, offered)


def free_settings(plan: Plan) -> dict:
    """What was changed by hand, as far as the method has it and an adapter to go on from does not bring it along."""
    kept = KEPT_SETTINGS if plan.start_adapter_id else ()
    known = {setting["name"] for setting in describe(plan.method)} - set(kept)
    return {name: value for name, value in plan.config.items() if name in known}


def fitted_presets(plain: Asked):
    """The presets of a training with the training that each would be; 4 bits where it fits only so."""
    version, suited = plain.version, suits(plain.base_model, plain.method)
    for preset in presets_for(
        plain.method, version.train_count, held_out_rows=version.held_out_count, recommended=suited
    ):
        if plain.start_adapter is not None:
            free = {name: value for name, value in preset.config.items() if name not in KEPT_SETTINGS}
            preset = replace(preset, config=free)
        asked = plain.again(preset.config)
        if not asked.own()[0][1].fits and "quantization" not in suited:
            squeezed = replace(preset, config={**preset.config, "quantization": "nf4"})
            smaller = plain.again(squeezed.config)
            place, found = smaller.own()[0]
            if found.fits and place.target.is_gpu:
                preset, asked = squeezed, smaller
        yield preset, asked
