"""OpenAI's hyperparameters, and what they come to in a training here (docs/api-openai.md, "Hyperparameters")."""

from __future__ import annotations

import math
from typing import Any

from gateway.asking import refuse_unknown, short
from serving.protocol import ApiError
from training.engine.config import TrainingConfig
from training.estimating import Asked
from training.plan_settings import fitted_presets
from training.presets import BALANCED

AUTO = "auto"
ENGINE_METHODS = {"supervised": "sft", "dpo": "dpo"}
# name → (whole numbers only, lowest, highest); the lowest of the multipliers and of beta is left out itself.
BOUNDS: dict[str, tuple[bool, float, float]] = {
    "n_epochs": (True, 1, 50),
    "batch_size": (True, 1, 256),
    "learning_rate_multiplier": (False, 0, math.inf),
    "beta": (False, 0, 2),
}
NAMES = {
    "supervised": ("n_epochs", "batch_size", "learning_rate_multiplier"),
    "dpo": ("n_epochs", "batch_size", "learning_rate_multiplier", "beta"),
}
LEARNING_RATE = next(
    entry for entry in TrainingConfig.__dataclass_fields__.values() if entry.name == "learning_rate"
)


def method_in(body: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's `method` of a request, whole: `{"type": "dpo", "dpo": {"hyperparameters": {"beta": "auto", …}}}`.

    The older `hyperparameters` beside it mean the same for a supervised training. Raises ApiError.
    """
    given, older = body.get("method"), body.get("hyperparameters")
    if given is None:
        return _method("supervised", _hyperparameters(older, "supervised", "hyperparameters"))
    if not isinstance(given, dict):
        raise ApiError(
            f"`method` must be an object, got {short(given)}.", param="method", code="invalid_type"
        )
    refuse_unknown(given, {"type", "supervised", "dpo", "reinforcement"}, "method")
    kind = given.get("type")
    if kind == "reinforcement":
        raise ApiError(
            "Reinforcement fine-tuning is not supported by this server; use 'supervised' or 'dpo'.",
            param="method.type", code="unsupported_value",
        )  # fmt: skip
    if not isinstance(kind, str) or kind not in NAMES:
        raise ApiError(
            f"`method.type` is {short(kind)}; it must be 'supervised' or 'dpo'.", param="method.type",
            code="invalid_value",
        )  # fmt: skip
    if other := next(
        (name for name in given if name not in ("type", kind) and given[name] is not None), None
    ):
        raise ApiError(
            f"`method.{other}` does not belong to the type {kind!r}.", param=f"method.{other}",
            code="invalid_parameter_combination",
        )  # fmt: skip
    if older is not None and any(
        value != AUTO for value in _hyperparameters(older, "supervised", "hyperparameters").values()
    ):
        raise ApiError(
            "`hyperparameters` is deprecated and cannot be used together with `method`.", param="hyperparameters",
            code="invalid_parameter_combination",
        )  # fmt: skip
    inner = given.get(kind)
    if inner is not None and not isinstance(inner, dict):
        raise ApiError(
            f"`method.{kind}` must be an object, got {short(inner)}.",
            param=f"method.{kind}",
            code="invalid_type",
        )
    refuse_unknown(inner or {}, {"hyperparameters"}, f"method.{kind}")
    return _method(
        kind, _hyperparameters((inner or {}).get("hyperparameters"), kind, f"method.{kind}.hyperparameters")
    )


def _method(kind: str, hyperparameters: dict) -> dict[str, Any]:
    return {"type": kind, kind: {"hyperparameters": hyperparameters}}


def hyperparameters_of(method: dict[str, Any]) -> dict[str, Any]:
    return method[method["type"]]["hyperparameters"]


def _hyperparameters(given: Any, kind: str, where: str) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise ApiError(f"`{where}` must be an object, got {short(given)}.", param=where, code="invalid_type")
    given = given or {}
    refuse_unknown(given, set(NAMES[kind]), where)
    return {name: _value(given.get(name), name, f"{where}.{name}") for name in NAMES[kind]}


def _value(value: Any, name: str, where: str):
    if value is None or value == AUTO:
        return AUTO
    is_whole, low, high = BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        kind = "an integer" if is_whole else "a number"
        raise ApiError(
            f"`{where}` must be 'auto' or {kind}, got {short(value)}.", param=where, code="invalid_type"
        )
    is_above = value >= low if is_whole else value > low
    if not (is_above and value <= high and math.isfinite(value)):
        bounds = (
            f"from {low} to {high}"
            if is_whole
            else f"above {low}" + (f", up to {high}" if high < math.inf else "")
        )
        raise ApiError(f"`{where}` must be {bounds}, got {short(value)}.", param=where, code="invalid_value")
    return value


def config_for(plain: Asked, method: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """The settings of a training: those of *balanced*, with what was asked for in their place.

    `plain` is the training without any settings. Raises ApiError for a learning rate that no training can have.
    """
    asked = hyperparameters_of(method)
    config = dict(next(preset.config for preset, _tried in fitted_presets(plain) if preset.name == BALANCED))
    usual = plain.again(config).config
    if asked["n_epochs"] != AUTO:
        # Exactly so many passes: neither more for small data nor fewer because it got no better.
        config |= {"epochs": asked["n_epochs"], "min_steps": 1, "early_stopping_checks": None}
    if asked["batch_size"] != AUTO:
        config |= _batch(asked["batch_size"], usual.batch_size)
        if asked["n_epochs"] == AUTO:
            config["epochs"] = _epochs(plain.version.train_count, asked["batch_size"], usual)
    if asked["learning_rate_multiplier"] != AUTO:
        config["learning_rate"] = _learning_rate(
            usual.learning_rate, asked["learning_rate_multiplier"], method
        )
    if asked.get("beta", AUTO) != AUTO:
        config["beta"] = asked["beta"]
    if seed is not None:
        config["seed"] = seed
    return config


def _batch(rows: int, at_once: int) -> dict[str, int]:
    """`rows` a step, in batches of at most `at_once`, all alike."""
    size = max(each for each in range(1, min(rows, at_once) + 1) if rows % each == 0)
    # Small data must not make the steps smaller than they were asked to be.
    return {"batch_size": size, "gradient_accumulation_steps": rows // size, "min_steps": 1}


def _epochs(rows: int, batch_size: int, usual: TrainingConfig) -> int:
    """As many passes as the usual least number of steps takes at this batch size."""
    steps = math.ceil(rows / batch_size)
    return min(100, max(usual.epochs, math.ceil(usual.min_steps / steps)))


def _learning_rate(usual: float, multiplier: float, method: dict) -> float:
    low, high = LEARNING_RATE.metadata["minimum"], LEARNING_RATE.metadata["maximum"]
    found = usual * multiplier
    if not low <= found <= high:
        raise ApiError(
            f"`learning_rate_multiplier` is {short(multiplier)}: times {usual:g}, which suits this model, that is a "
            f"learning rate of {found:g}, and it can be from {low:g} to {high:g}.",
            param=f"method.{method['type']}.hyperparameters.learning_rate_multiplier", code="invalid_value",
        )  # fmt: skip
    return found
