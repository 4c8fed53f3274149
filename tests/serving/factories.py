"""Rows that make the tiny model and its adapters known to Django."""

from pathlib import Path

from apex.common import files
from base_models.models import BaseModel
from tests.training.factories import make_version
from training.models import Adapter, Status, TrainingJob, new_model_id


def make_base_model(directory: Path, name="tiny") -> BaseModel:
    return BaseModel.objects.create(
        name=name, display_name=name.title(), source="directory", location=str(directory), directory=str(directory),
        is_on_this_machine=True, sha256="0" * 64, context=512,
    )  # fmt: skip


def make_adapter_row(owner, base_model: BaseModel, directory: Path, name="Coach") -> Adapter:
    """An adapter with its files in the store, and the finished job and dataset it came from."""
    version = make_version(owner, name=f"Data of {name}")
    job = TrainingJob.objects.create(
        owner=owner,
        name=name,
        dataset_version=version,
        base_model=base_model,
        queue="cpu",
        status=Status.SUCCEEDED,
    )
    return Adapter.objects.create(
        owner=owner, name=name, model_id=new_model_id(base_model, owner, name), job=job, dataset_version=version,
        base_model=base_model, seed=42, directory_sha256=files.put_directory(directory).sha256,
    )  # fmt: skip
