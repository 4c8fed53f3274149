"""Finds base models."""

import uuid

from django.http import Http404

from base_models.models import BaseModel


def base_model_or_404(key: str) -> BaseModel:
    """The base model with this UUID or name."""
    try:
        model = BaseModel.objects.filter(pk=uuid.UUID(key)).first()
    except ValueError:
        model = BaseModel.objects.filter(name=key).first() if "\0" not in key else None
    if model is None:
        raise Http404(f"No base model {key!r}.")
    return model
