"""What a training needs, in numbers for the review page: rendered row lengths, steps, minutes, memory."""

import json
from dataclasses import asdict, dataclass

from django.core.cache import cache
from django.utils.translation import gettext as _

from apex.common import files
from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from rendering import BadModel, Renderer, RenderError, RowTooLong
from rendering.model_facts import read_model_facts
from training.engine.config import SftConfig
from training.engine.estimate import estimate
from training.engine.hardware import read_hardware
from training.models import Status, TrainingJob
from training.services import StartRefused, settled_config

SAMPLE = 1000  # rows rendered for the estimate; the rest are taken to be like them
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Lengths:
    """Of the rows that were rendered: tokens each, and what would be shortened or left out."""

    train: list[int]
    held_out: list[int]
    shortened: int
    too_long: int
    refused: str  # why the model's template cannot take a row, or nothing


def measure_lengths(version: DatasetVersion, base_model: BaseModel, max_length: int) -> Lengths:
    """Token lengths by the base model's own template, for at most `SAMPLE` rows spread over the version. Cached."""
    key = f"lengths:{version.rows_sha256}:{base_model.sha256}:{max_length}"
    found = cache.get(key)
    if found is None:
        found = asdict(render_lengths(version, base_model, max_length))
        cache.set(key, found, DAY)
    return Lengths(**found)


def render_lengths(version: DatasetVersion, base_model: BaseModel, max_length: int) -> Lengths:
    renderer = Renderer.from_directory(base_model.path)
    lengths: dict[str, list[int]] = {"train": [], "held_out": []}
    shortened = too_long = 0
    stride = max(1, version.row_count // SAMPLE)
    with open(files.local_path(version.rows_sha256), encoding="utf-8") as rows:
        for index, line in enumerate(rows):
            if index % stride:
                continue
            row = json.loads(line)
            try:
                rendered = renderer.render_training(row["messages"], max_length)
            except RowTooLong:
                too_long += 1
                continue
            except RenderError as problem:
                return Lengths([], [], 0, 0, f"line {row.get('line')}: {problem}")
            shortened += rendered.dropped_turns > 0
            lengths[row["split"]].append(len(rendered.token_ids))
    return Lengths(
        spread(lengths["train"], version.train_count - too_long * stride),
        spread(lengths["held_out"], version.held_out_count),
        shortened * stride,
        too_long * stride,
        "",
    )


def spread(lengths: list[int], count: int) -> list[int]:
    """The sample repeated to `count` rows, when only a part was rendered."""
    if not lengths or count <= len(lengths):
        return lengths
    times, rest = divmod(count, len(lengths))
    return lengths * times + lengths[:rest]


def past_speed(base_model: BaseModel) -> float | None:
    """Tokens a second of the last finished training of this base model, measured here."""
    last = (
        TrainingJob.objects.filter(
            base_model=base_model, status=Status.SUCCEEDED, tokens_per_second__isnull=False
        )
        .order_by("-ended_at")
        .first()
    )
    return last.tokens_per_second if last else None


def estimate_job(version: DatasetVersion, base_model: BaseModel, config: dict | None) -> dict:
    """Rows, tokens, steps, seconds and bytes for a training, ready for JSON and for the page.

    Raises `StartRefused` if the settings or the examples cannot be used with this base model.
    """
    settings = SftConfig.from_dict(settled_config(base_model, config))
    max_length = min(settings.max_length, base_model.context)
    try:
        lengths = measure_lengths(version, base_model, max_length)
    except (RenderError, OSError) as problem:
        words = _("%(name)s cannot be used: %(why)s") % {"name": base_model.display_name, "why": problem}
        raise StartRefused(words, field="base_model") from problem
    if lengths.refused:
        raise StartRefused(lengths.refused, field="base_model")
    speed = past_speed(base_model)
    try:
        found = estimate(
            lengths.train,
            read_model_facts(base_model.path),
            settings,
            read_hardware(),
            held_out_lengths=lengths.held_out,
            tokens_per_second=speed,
        )
    except BadModel as problem:
        raise StartRefused(str(problem), field="base_model") from problem
    except ValueError as problem:
        raise StartRefused(str(problem), field="dataset") from problem
    return {
        "rows": found.rows,
        "held_out_rows": found.held_out_rows,
        "shortened_rows": lengths.shortened,
        "too_long_rows": lengths.too_long,
        "max_length": max_length,
        "tokens": found.tokens,
        "steps": found.steps,
        "epochs": found.epochs,
        "batch_size": found.plan.batch_size,
        "gradient_accumulation_steps": found.plan.gradient_accumulation_steps,
        "seconds": round(found.seconds, 1),
        "tokens_per_second": round(found.tokens_per_second),
        "is_measured": speed is not None,
        "memory_bytes": found.memory.total,
        "memory_parts": asdict(found.memory),
        "memory_free_bytes": found.memory_free_bytes,
        "device": found.device,
        "fits": found.fits,
        "advice": list(found.advice),
        "config": settings.to_dict(),
    }
