"""Estimates in plain values, for JSON, pages and the job's row."""

from base_models.models import BaseModel
from training import suggesting
from training.engine.config import TrainingConfig
from training.engine.estimate import Estimate
from training.estimating import Asked
from training.places import Place
from training.services import StartRefused


def estimate_job(version, base_model, config: dict | None = None, **how) -> dict:
    """The estimate that is kept with a job; `how` as for `Asked`, and `StartRefused` as there."""
    return told(Asked(version, base_model, config, **how))


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
        **on_place(place, found),
        "is_measured": place.past is not None,
        "memory_parts": {part.name: part.size for part in found.memory.parts},
        "device": place.target.name,
        "advice": list(found.advice),
        "config": asked.config.to_dict(asked.method),
        "by_hardware": {
            each.hardware: {
                "formula_tokens_per_second": round(one.speed.formula, 3),
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
    """What to change where it does not fit, each with the settings that do it: the mildest that is enough first."""
    found = [
        {
            "code": change.code,
            "text": suggesting.sentence(change),
            "button": suggesting.button(change),
            "config": change.changes,
            "base_model": None,
            "memory_bytes": change.after.memory.total,
            "saves_bytes": change.saves_bytes,
            "seconds": round(change.after.seconds, 1),
            "fits": change.fits,
        }
        for change in asked.changes()
    ]
    if asked.own()[0][1].fits:
        return found
    smaller = _smaller_model(asked)
    return [*found, smaller] if smaller else found


def _smaller_model(asked: Asked) -> dict | None:
    """The largest base model on this machine that is smaller and fits with the same settings."""
    if asked.start_adapter:
        return None
    models = BaseModel.objects.on_this_machine().filter(parameters__lt=asked.base_model.parameters)
    place, now = asked.own()[0]
    changed = {
        name: value
        for name, value in asked.config.to_dict(asked.method).items()
        if value != getattr(TrainingConfig(), name)
    }
    for model in models.order_by("-parameters"):
        try:
            other = Asked(asked.version, model, changed, method=asked.method, devices=asked.devices)
        except StartRefused:  # it cannot read these examples
            continue
        after = other.on(place)
        if after.fits:
            return {
                "code": "model",
                "text": suggesting.model_sentence(model, now, after),
                "button": suggesting.model_button(model),
                "config": {},
                "base_model": model.name,
                "memory_bytes": after.memory.total,
                "saves_bytes": now.memory.total - after.memory.total,
                "seconds": round(after.seconds, 1),
                "fits": True,
            }
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
