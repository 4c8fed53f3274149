"""Fine-tuning jobs of the OpenAI-compatible surface: made, started, stopped, and told how they went."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import files as stored_files
from apex.common.states import move
from base_models.models import BaseModel
from datasets_app import services as datasets
from datasets_app.models import DatasetVersion
from gateway import aliases, filing, tuning_settings
from gateway.asking import id_of
from gateway.models import TUNE_MOVES, ApiFile, FilePurpose, FineTune, TuneStatus
from serving.protocol import ApiError, model_not_found
from training import kept_checkpoints, services, telling
from training.checkpoint_files import CheckpointUnusable
from training.checkpoints import checkpoint_called
from training.estimating import Asked
from training.models import Adapter
from training.trackers.wandb import WandB

# What to change in a request, by the field that a training was refused for.
PARAMS = {
    "dataset": "training_file", "base_model": "model", "start_adapter": "model", "method": "method.type",
    "batch_size": "method", "epochs": "method", "beta": "method", "seed": "seed",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A request for a fine-tuning job, read and checked."""

    model: str
    training_file: str
    validation_file: str = ""
    suffix: str = ""
    seed: int | None = None
    method: dict[str, Any] = field(default_factory=lambda: tuning_settings.method_in({}))
    integrations: list[dict] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


def create_fine_tune(*, owner, wanted: Wanted) -> FineTune:
    """One training of what `wanted` says, started at once if its files are read already. Raises ApiError."""
    refuse_integrations(wanted.integrations)
    start_of(owner, wanted.model)
    training = file_for(owner, wanted.training_file, "training_file")
    validation = (
        file_for(owner, wanted.validation_file, "validation_file") if wanted.validation_file else None
    )
    tune = FineTune(
        owner=owner,
        model=wanted.model,
        training_file=training.public_id,
        validation_file=validation.public_id if validation else "",
        suffix=wanted.suffix,
        seed=42 if wanted.seed is None else wanted.seed,
        method=wanted.method,
        integrations=wanted.integrations,
        metadata=wanted.metadata,
    )
    if training.is_being_read or (validation and validation.is_being_read):
        tune.save()
        return tune
    return start(tune, training, validation)


def start_of(owner, model: str) -> tuple[BaseModel, Adapter | None]:
    """The base model to train, and the adapter to go on from where the model is one of the user's own.

    A checkpoint is kept as an adapter for that. Raises ApiError: `model_not_found` for a stranger's and a missing one.
    """
    if base_model := BaseModel.objects.for_user(owner).filter(name=aliases.resolved(owner, model)).first():
        return base_model, None
    found = Adapter.objects.for_user(owner).filter(model_id=model).select_related("base_model").first()
    if found is None and (checkpoint := checkpoint_called(owner, model)):
        try:
            found = kept_checkpoints.keep_checkpoint(job=checkpoint.job, step=checkpoint.step)
        except CheckpointUnusable as problem:
            raise ApiError(str(problem), param="model", code="checkpoint_unusable") from problem
    if found is None:
        raise model_not_found(model)
    return found.base_model, found


def file_for(owner, public_id: str, param: str) -> ApiFile:
    """The user's file for fine-tuning. Raises ApiError, for a stranger's as for a missing one."""
    rows = ApiFile.objects.for_user(owner).select_related("brought_by", "version__dataset", "owner")
    file = rows.filter(pk=id_of(public_id, "file-")).first()
    if file is None:
        raise ApiError(f"File not found: {public_id}", param=param, code="file_not_found")
    if file.purpose != FilePurpose.FINE_TUNE:
        raise ApiError(
            f"{public_id} has the purpose '{file.purpose}'; a training needs one of 'fine-tune'.", param=param,
            code="invalid_file_purpose",
        )  # fmt: skip
    filing.settle(file)
    if file.problem:
        raise ApiError(file.problem, param=param, code=f"invalid_{param}")
    return file


def refuse_integrations(integrations: list[dict]) -> None:
    """Runs go where the operator sends them all, so a wish for another place is refused."""
    for integration in integrations:
        if settings.TRACKER != "wandb":
            raise ApiError(
                "This server does not send trainings to Weights & Biases; whoever runs it can set APEX_TRACKER=wandb. "
                "Leave `integrations` out.",
                param="integrations", code="unsupported_value",
            )  # fmt: skip
        project, asked = WandB().project, integration["wandb"]["project"]
        if asked != project:
            raise ApiError(
                f"This server sends all trainings to the project {project!r} of Weights & Biases, not to {asked!r}; "
                f"name that one.",
                param="integrations[0].wandb.project", code="unsupported_value",
            )  # fmt: skip


def start(tune: FineTune, training: ApiFile, validation: ApiFile | None) -> FineTune:
    """Makes the training of `tune`, which may not be saved yet. Raises ApiError.

    Of two who start it at once one makes it.
    """
    base_model, adapter = start_of(tune.owner, tune.model)
    method = tuning_settings.ENGINE_METHODS[tune.method["type"]]
    version = version_for(tune, training, validation)
    try:
        plain = Asked(version, base_model, method=method, start_adapter=adapter)
        asked = plain.again(tuning_settings.config_for(plain, tune.method, tune.seed))
        estimate = telling.told(asked)
        with transaction.atomic():
            if not tune._state.adding:
                locked = FineTune.objects.select_for_update().get(pk=tune.pk)
                if locked.status != TuneStatus.VALIDATING:
                    return locked
            job = services.start_job(
                owner=tune.owner,
                name=tune.suffix or training.version.dataset.name,
                dataset_version=version,
                base_model=base_model,
                method=method,
                start_adapter=adapter,
                config=asked.given,
                estimate=estimate,
                memory_bytes=estimate.get("asks_bytes"),
            )
            if tune._state.adding:
                tune.save()
            move(tune, TuneStatus.STARTED, moves=TUNE_MOVES, job=job, dataset_version=version)
    except services.NotEnoughLeft as problem:
        raise ApiError(
            str(problem), status=429, kind="insufficient_quota", code="insufficient_quota"
        ) from problem
    except services.StartRefused as problem:
        param = PARAMS.get(problem.field or "", "training_file")
        raise ApiError(str(problem), param=param, code="invalid_value") from problem
    return tune


def version_for(tune: FineTune, training: ApiFile, validation: ApiFile | None) -> DatasetVersion:
    """What is learned from: the training file's version, or one in which the validation file is what is kept aside."""
    if validation is None:
        return training.version
    if validation.version.kind != training.version.kind:
        raise ApiError(
            _("The validation file holds other rows (%(its)s) than the training file (%(kind)s).")
            % {"its": validation.version.kind, "kind": training.version.kind},
            param="validation_file", code="invalid_validation_file",
        )  # fmt: skip
    same = FineTune.objects.for_user(tune.owner).filter(
        training_file=training.public_id, validation_file=validation.public_id,
        dataset_version__erased_at=None, dataset_version__isnull=False,
    )  # fmt: skip
    if known := same.select_related("dataset_version__dataset").first():
        return known.dataset_version
    return put_together(training, validation)


def put_together(training: ApiFile, validation: ApiFile) -> DatasetVersion:
    """The next version of the training file's dataset: all of its rows to learn from, the other's kept aside."""
    dataset = training.version.dataset
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / "rows.jsonl"
        with open(path, "w", encoding="utf-8") as out:
            for file, split in ((training, "train"), (validation, "held_out")):
                with open(stored_files.local_path(file.version.rows_sha256), encoding="utf-8") as rows:
                    for line in rows:
                        row = json.loads(line)
                        key = f"{split} {row['conversation']}"
                        content = {name: row[name] for name in row if name not in ("line", "origin")}
                        json.dump(content | {"conversation": key, "split": split}, out, ensure_ascii=False)
                        out.write("\n")
        name = f"{Path(training.file_name).stem} + {validation.file_name}"
        try:
            return datasets.add_version(dataset=dataset, file=path, file_name=name[:200])
        except datasets.DatasetRefused as problem:
            sha256 = stored_files.stored_as(path).sha256
            if same := dataset.versions.present().filter(source_sha256=sha256).first():
                return same
            raise ApiError(str(problem), param="validation_file", code="invalid_validation_file") from problem


def advance(tune: FineTune) -> FineTune:
    """Starts a job whose files are read by now, or lets it fail by what they turned out to be."""
    try:
        training = file_for(tune.owner, tune.training_file, "training_file")
        named = tune.validation_file
        validation = file_for(tune.owner, named, "validation_file") if named else None
        if training.is_being_read or (validation and validation.is_being_read):
            return tune
        return start(tune, training, validation)
    except ApiError as problem:
        error = {
            "code": problem.code or "invalid_value", "message": problem.message, "param": problem.param,
        }  # fmt: skip
        move(tune, TuneStatus.FAILED, moves=TUNE_MOVES, error=error, ended_at=timezone.now())
        return tune


def advance_waiting() -> int:
    """Goes on with every job that waits for its files. Returns how many there were."""
    waiting = list(FineTune.objects.filter(status=TuneStatus.VALIDATING).select_related("owner"))
    for tune in waiting:
        advance(tune)
    return len(waiting)


def cancel(*, tune: FineTune) -> bool:
    """False if it had ended."""
    if tune.job is not None:
        return services.cancel_job(job=tune.job)
    return move(tune, TuneStatus.CANCELLED, moves=TUNE_MOVES, ended_at=timezone.now())


def pause(*, tune: FineTune) -> bool:
    """False if it neither waits nor runs."""
    return tune.job is not None and services.pause_job(job=tune.job)


def resume(*, tune: FineTune) -> bool:
    """False if it does not rest."""
    return tune.job is not None and services.resume_job(job=tune.job)
