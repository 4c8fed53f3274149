"""What a training needs, in numbers for the review page: rendered row lengths, steps, minutes, memory."""

from dataclasses import asdict, dataclass

from base_models.models import BaseModel
from datasets_app.measuring import RowsAway, sample_of
from datasets_app.models import DatasetVersion
from datasets_app.template_check import TemplateRefused, check_template, refused_row
from rendering import BadModel
from rendering.model_facts import read_model_facts
from training.engine.config import TrainingConfig
from training.engine.estimate import estimate
from training.engine.hardware import read_hardware
from training.kinds import refusal_of
from training.models import Status, TrainingJob
from training.services import StartRefused, settled_config


@dataclass(frozen=True)
class Lengths:
    """Tokens of each row as it is trained, and how many would be shortened or left out.

    Of many rows a sample is measured, and the rest taken to be like it. A shortened row is counted as `max_length`.
    """

    train: list[int]
    held_out: list[int]
    shortened: int
    too_long: int


def measure_lengths(version: DatasetVersion, base_model: BaseModel, max_length: int) -> Lengths:
    """Lengths by the base model's own template. Raises TemplateRefused when it does not take a row."""
    sample = sample_of(version, base_model)
    if refusal := sample.counts.first_refusal:
        raise refused_row(base_model, refusal["line"] or refusal["number"], refusal["why"])
    many = version.row_count / max(1, len(sample.measured))
    lengths: dict[bool, list[int]] = {False: [], True: []}
    too_long = {False: 0, True: 0}
    shortened = 0
    for is_held_out, measured in sample.measured:
        if measured.shortest > max_length:
            too_long[is_held_out] += 1
            continue
        shortened += measured.tokens > max_length
        lengths[is_held_out].append(min(measured.tokens, max_length))
    return Lengths(
        spread(lengths[False], version.train_count - round(too_long[False] * many)),
        spread(lengths[True], version.held_out_count - round(too_long[True] * many)),
        round(shortened * many),
        round(sum(too_long.values()) * many),
    )


def spread(lengths: list[int], count: int) -> list[int]:
    """The sample repeated to `count` rows, when only a part was measured."""
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
    settings = TrainingConfig.from_dict(settled_config(base_model, config))
    max_length = min(settings.max_length, base_model.context)
    if refusal := refusal_of(version):
        raise StartRefused(refusal, field="dataset")
    try:
        check_template(version=version, base_model=base_model)
        lengths = measure_lengths(version, base_model, max_length)
    except RowsAway as problem:
        raise StartRefused(str(problem), field="dataset") from problem
    except TemplateRefused as problem:
        raise StartRefused(str(problem), field="base_model") from problem
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
