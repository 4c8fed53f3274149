"""Celery's doors into datasets. A task takes ids and calls one function; running it twice is harmless."""

from celery import shared_task

from base_models.models import BaseModel
from datasets_app import execution, measuring, sweeping
from datasets_app.models import DatasetVersion


@shared_task
def run_import(*, import_id: str, **extra) -> None:
    execution.execute_import(import_id)


@shared_task
def sweep_imports(**extra) -> None:
    sweeping.sweep()


@shared_task
def measure_version(*, version_id: str, base_model_id: str, **extra) -> None:
    version = DatasetVersion.objects.filter(pk=version_id).exclude(rows_sha256="").first()
    base_model = BaseModel.objects.on_this_machine().filter(pk=base_model_id).first()
    if version and base_model:
        measuring.measure_whole(version=version, base_model=base_model)
