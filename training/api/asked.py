"""What a call names, found among what its caller may use; 400 that names the field for what is not there."""

import uuid

from django.db.models import Q
from django.http import Http404

from apex.common.api_errors import Unacceptable
from base_models.selectors import base_model_or_404
from datasets_app.models import Dataset, DatasetVersion
from training import services
from training.estimating import Asked
from training.models import Adapter


def asked_of(user, asked: dict) -> Asked:
    """The training that a call describes. Raises `StartRefused`; 400 that names the field for what is not there."""
    base_model, start = find_base_model(asked["base_model"]), find_adapter(user, asked.get("start_adapter"))
    if start is not None:
        services.refuse_start(start, owner=user, base_model=base_model)
    return Asked(
        find_version(user, asked),
        base_model,
        asked.get("config"),
        method=asked["method"],
        start_adapter=start,
        devices=asked["device_count"],
    )


def find_version(user, asked: dict) -> DatasetVersion:
    """The version that the call names; 400 that names the field if there is none of the caller's."""
    key = asked["dataset"]
    try:
        condition = Q(pk=uuid.UUID(key))
    except ValueError:
        condition = Q(name=key)
    dataset = Dataset.objects.for_user(user).filter(condition).first()
    if dataset is None:
        raise Unacceptable(f"You have no dataset {key!r}.", field="dataset")
    if wanted := asked.get("dataset_version"):
        version = dataset.versions.present().filter(pk=wanted).first()
        if version is None:
            raise Unacceptable(f"{dataset.name} has no version {wanted}.", field="dataset_version")
        return version
    if dataset.latest is None:
        raise Unacceptable(f"{dataset.name} holds nothing yet.", field="dataset")
    return dataset.latest


def find_base_model(key: str):
    try:
        return base_model_or_404(key)
    except Http404 as problem:
        raise Unacceptable(f"There is no base model {key!r}.", field="base_model") from problem


def find_adapter(user, key: str | None) -> Adapter | None:
    """One of the caller's adapters, by UUID or model id; None for no key."""
    if not key:
        return None
    try:
        condition = Q(pk=uuid.UUID(key))
    except ValueError:
        condition = Q(model_id=key)
    adapter = Adapter.objects.for_user(user).filter(condition).select_related("base_model").first()
    if adapter is None:
        raise Unacceptable(f"You have no adapter {key!r}.", field="start_adapter")
    return adapter
