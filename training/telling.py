"""Estimates in plain values, for JSON, pages and the job's row."""

from base_models.models import BaseModel
from training import suggesting
from training.engine.estimate import Estimate
from training.engine.methods import METHODS
from training.estimating import Asked
from training.places import Place
from training.services import StartRefused, refuse_unknown_method


def estimate_job(version, base_model, config: dict | None = None, *, method: str = "sft", **how) -> dict:
    """The estimate that is kept with a job; nothing for a drill, which nobody can estimate.

    `how` as for `Asked`, and `StartRefused` as there.
    """
    refuse_unknown_method(method)
    if not METHODS[method].is_offered:
        return {}
    return told(Asked(version, base_model, config, method=method, **how))


def told(asked: Asked) -> dict:
    """The estimate of `asked` in plain values; `by_hardware` is what later estimates learn from."""
    place, found = asked.own()[0]
    return {
        "rows": found.rows,
        "held_out_rows": found.held_out_rows,
        "shortened_rows": asked.lengths.shortened,
        "too_long_rows": asked.lengths.too_long,
        "max_length": asked.max_length,
        "tokens": found.tokens,
        "steps": found.steps,
        "epochs": found.epochs,
        "batch_size": found.plan.batch_size,
        "gradient_accumulation_steps": found.plan.gradient_accumulation_steps,
        "trainable_parameters": found.trainable_parameters,
        "device_count": asked.devices,
        # What does not fit anywhere may be tried all the same, where most is.
        "asks_bytes": min(found.memory.total, max(each.target.memory_bytes for each, _one in asked.own())),
        **on_place(place, found),
        "is_measured": place.past is not None,
        "memory_parts": {part.name: part.size for part in found.memory.parts},
        "device": place.target.name,
        "advice": list(found.advice),
        "config": asked.config.to_dict(asked.method),
        "by_hardware": {
            each.hardware: {
                "formula_tokens_per_second": round(one.speed.formula, 3),
                "beside_seconds": round(one.beside_seconds, 2),
                "seconds": round(one.seconds, 1),
            }
            for each, one in reversed([*asked.own(), *asked.rented()])
        },
    }


def on_place(place: Place, found: Estimate) -> dict:
    """Fit, time and price of one place, with the arithmetic."""
    return {
        "place": place.name,
        "kind": place.kind,
        "hardware": place.target.name,
        "devices": place.target.devices,
        "fits": found.fits,
        "memory_bytes": found.memory.total,
        "memory_free_bytes": place.target.free_bytes,
        "recomputes": found.memory.recomputes,
        "memory": [
            {"name": part.name, "label": part.label, "arithmetic": part.arithmetic, "bytes": part.size}
            for part in found.memory.parts
        ],
        "seconds": round(found.seconds, 1),
        "tokens_per_second": round(found.tokens_per_second, 1 if found.tokens_per_second < 100 else None),
        "arithmetic": found.speed.arithmetic,
        "past": place.past.as_dict() if place.past else None,
        "price": {
            "low": _dollars(place.prices.low),
            "high": _dollars(place.prices.high),
            "on_demand": _dollars(place.prices.on_demand),
            "source": place.prices.source,
            "priced_at": place.prices.priced_at.isoformat() if place.prices.priced_at else None,
        },
        "cost": place.prices.cost(found.seconds),
    }


def _dollars(price) -> float | None:
    return None if price is None else round(float(price), 4)


def places_told(asked: Asked) -> list[dict]:
    """Every place with its fit, time and price: ours first, then the price table."""
    return [on_place(place, found) for place, found in [*asked.own(), *asked.rented()]]


def suggestions_told(asked: Asked) -> list[dict]:
    """What to change where it does not fit, each with the settings that do it; what is enough comes first."""
    place, now = asked.own()[0]
    if now.fits:
        return []
    found = [
        _suggested(change.code, suggesting.sentence(change), suggesting.button(change), now, change.after)
        | {"config": change.changes}
        for change in asked.changes()
    ]
    others = [one for one in (_more_gpus(asked, now), _smaller_model(asked, place, now)) if one]
    return sorted([*found, *others], key=lambda one: not one["fits"])


def _suggested(code: str, text: str, button: str, now: Estimate, after: Estimate) -> dict:
    return {
        "code": code,
        "text": text,
        "button": button,
        "config": {},
        "base_model": None,
        "device_count": None,
        "memory_bytes": after.memory.total,
        "saves_bytes": now.memory.total - after.memory.total,
        "seconds": round(after.seconds, 1),
        "fits": after.fits,
    }


def _more_gpus(asked: Asked, now: Estimate) -> dict | None:
    """The fewest GPUs of one of our machines that hold it together."""
    if asked.devices > 1 or not METHODS[asked.method].can_split:
        return None
    for count in (2, 4, 8):
        try:
            place, after = asked.split_over(count).own()[0]
        except StartRefused:  # no machine has so many
            return None
        if after.fits and place.target.is_gpu:
            words = suggesting.gpus_sentence(count, place.name, after)
            told = _suggested("gpus", words, suggesting.gpus_button(count), now, after)
            return told | {"config": {"spread": "fsdp"}, "device_count": count}
    return None


def _smaller_model(asked: Asked, place: Place, now: Estimate) -> dict | None:
    """The largest base model on this machine that is smaller and fits with the same settings."""
    if asked.start_adapter:
        return None
    models = BaseModel.objects.on_this_machine().filter(parameters__lt=asked.base_model.parameters)
    for model in models.order_by("-parameters"):
        try:
            other = Asked(asked.version, model, asked.given, method=asked.method, devices=asked.devices)
        except StartRefused:  # it cannot read these examples
            continue
        after = other.on(place)
        if after.fits:
            words = suggesting.model_sentence(model, now, after)
            told = _suggested("model", words, suggesting.model_button(model), now, after)
            return told | {"base_model": model.name}
    return None


def presets_told(presets) -> list[dict]:
    """Presets (`plan_settings.fitted_presets`) with the time and cost of each where it would run."""
    found = []
    for preset, asked in presets:
        place, one = asked.own()[0]
        found.append(
            {
                "name": preset.name,
                "config": preset.config,
                "fits": one.fits,
                "steps": one.steps,
                "epochs": one.epochs,
                "seconds": round(one.seconds, 1),
                "cost": place.prices.cost(one.seconds),
            }
        )
    return found
