"""Celery's door into the catalogue."""

from celery import shared_task

from base_models import services
from base_models.models import BaseModel


@shared_task
def download_model(*, model_id: str, **extra) -> None:
    model = BaseModel.objects.filter(pk=model_id, is_on_this_machine=False).first()
    if model is not None:
        services.download(model)
