"""Fine-tuning jobs in OpenAI's shapes: the job, its checkpoints, its result file."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from gateway import filing, tuning_settings
from gateway.asking import seconds
from gateway.models import FilePurpose, FineTune, TuneStatus
from training.metrics import store
from training.models import Adapter, Checkpoint, Status, TrainingJob, model_id_of

# A job that rests has no word of its own in OpenAI's list, so it waits.
STATUS = {
    Status.QUEUED: "queued", Status.RUNNING: "running", Status.PAUSING: "running", Status.PAUSED: "queued",
    Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.CRASHED: "failed", Status.CANCELLED: "cancelled",
}  # fmt: skip
# What a training failed for, as OpenAI's clients know it; other reasons keep their name.
CODES = {"bad_data": "invalid_training_file", "": "server_error", "unexpected": "server_error"}
RESULTS_NAME = "step_metrics.csv"
RESULTS_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def tunes_for(user):
    """The user's jobs with all that is told of one, in three queries."""
    rows = FineTune.objects.for_user(user).select_related("job__base_model", "job__owner", "owner", "results")
    return rows.prefetch_related("job__adapters")


def tune_told(tune: FineTune) -> dict[str, Any]:
    """OpenAI's fine-tuning job object."""
    job = tune.job
    method = resolved_method(tune)
    return {
        "id": tune.public_id,
        "object": "fine_tuning.job",
        "created_at": seconds(tune.created_at),
        "finished_at": seconds(job.ended_at if job else tune.ended_at),
        "estimated_finish": estimated_finish(job),
        "model": tune.model,
        "fine_tuned_model": job.adapter.model_id if job and job.adapter else None,
        "organization_id": str(tune.owner_id),
        "status": status_of(tune),
        "hyperparameters": {
            name: value
            for name, value in tuning_settings.hyperparameters_of(method).items()
            if name != "beta"
        },
        "method": method,
        "training_file": tune.training_file,
        "validation_file": tune.validation_file or None,
        "result_files": [tune.results.public_id] if tune.results else [],
        "trained_tokens": int(job.tokens) if job and job.status == Status.SUCCEEDED else None,
        "error": error_of(tune),
        "seed": tune.seed,
        "integrations": tune.integrations,
        "metadata": tune.metadata,
    }


def status_of(tune: FineTune) -> str:
    return STATUS[Status(tune.job.status)] if tune.job else tune.status


def estimated_finish(job: TrainingJob | None) -> int | None:
    if job is None or job.status != Status.RUNNING or job.eta_seconds is None:
        return None
    return int(time.time() + job.eta_seconds)


def error_of(tune: FineTune) -> dict | None:
    job = tune.job
    if job is None:
        return tune.error or None
    if job.status == Status.CRASHED:
        return {"code": "server_error", "message": job.message or "It was interrupted.", "param": None}
    if job.status != Status.FAILED:
        return None
    return {
        "code": CODES.get(job.reason, job.reason),
        "message": " ".join(part for part in (job.message, job.advice) if part) or "The training failed.",
        "param": "training_file" if job.reason == "bad_data" else None,
    }


def resolved_method(tune: FineTune) -> dict[str, Any]:
    """The method with numbers in place of "auto", as soon as the training has said what they are."""
    asked = tuning_settings.hyperparameters_of(tune.method)
    started = tune.job.facts.get("started") if tune.job else None
    found = dict(asked)
    if started:
        known = {
            "n_epochs": started.get("epochs"),
            "batch_size": (started.get("batch_size") or 0)
            * (started.get("gradient_accumulation_steps") or 0),
            "learning_rate_multiplier": 1.0,
            "beta": tune.job.config.get("beta"),
        }
        found = {
            name: known.get(name) or value if value == tuning_settings.AUTO else value
            for name, value in asked.items()
        }
    kind = tune.method["type"]
    return {"type": kind, kind: {"hyperparameters": found}}


def settle_results(tune: FineTune) -> FineTune:
    """Writes the result file of a training that has succeeded; once, also if two ask at the same moment."""
    job = tune.job
    if job is None or job.status != Status.SUCCEEDED or tune.has_results:
        return tune
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = write_results(job, Path(folder) / RESULTS_NAME)
        with transaction.atomic():
            if not FineTune.objects.filter(pk=tune.pk, has_results=False).update(has_results=True):
                tune.refresh_from_db(fields=["results", "has_results"])
                return tune
            tune.results = filing.keep_path(
                owner=tune.owner, path=path, file_name=RESULTS_NAME, purpose=FilePurpose.FINE_TUNE_RESULTS
            )
            tune.has_results = True
            tune.save(update_fields=["results"])
    return tune


def settle_all_results() -> int:
    """Result files of trainings that ended while nobody asked for them. Returns how many."""
    rows = FineTune.objects.filter(
        status=TuneStatus.STARTED, job__status=Status.SUCCEEDED, has_results=False
    ).select_related("job", "owner")
    ended = list(rows)
    for tune in ended:
        settle_results(tune)
    return len(ended)


def write_results(job: TrainingJob, path: Path) -> Path:
    """One line a step, in OpenAI's columns; what is not measured here (accuracies) stays empty."""
    with open(path, "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(RESULTS_COLUMNS)
        for block in store.read_blocks(job, 1):
            for row in block.rows():
                table.writerow([row["step"], shown(row.get("loss")), "", shown(row.get("eval_loss")), ""])
    return path


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def checkpoint_told(tune: FineTune, one: Checkpoint | Adapter) -> dict[str, Any]:
    """OpenAI's checkpoint object, of a checkpoint or of one that was kept as an adapter. Chat accepts its name."""
    job = tune.job
    row = next((row for block in store.read_blocks(job, one.step, one.step) for row in block.rows()), {})
    measured = {
        "step": one.step,
        "train_loss": row.get("loss"),
        "valid_loss": one.eval_loss if one.eval_loss is not None else row.get("eval_loss"),
    }
    measured["full_valid_loss"] = measured["valid_loss"]
    return {
        "id": f"ftckpt_{tune.pk.hex}_{one.step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds(one.created_at),
        "fine_tuned_model_checkpoint": f"{model_id_of(job)}:ckpt-step-{one.step}",
        "fine_tuning_job_id": tune.public_id,
        "step_number": one.step,
        "metrics": {name: value for name, value in measured.items() if value is not None},
    }


def checkpoints_of(tune: FineTune) -> list[Checkpoint | Adapter]:
    """Those that can be asked, latest first: there are a handful, as older ones make way."""
    if tune.job is None:
        return []
    found: dict[int, Checkpoint | Adapter] = {
        one.step: one for one in tune.job.adapters.all() if one.step is not None
    }
    for one in tune.job.checkpoints.filter(is_damaged=False):
        found.setdefault(one.step, one)
    return [found[step] for step in sorted(found, reverse=True)]
