"""What an adapter or a checkpoint holds lies in files; they go with its row, whatever deletes it."""

from django.db.models.signals import post_delete
from django.dispatch import receiver

from training.checkpoints import discard
from training.models import Adapter, Attempt, Checkpoint


@receiver(post_delete, sender=Adapter)
@receiver(post_delete, sender=Checkpoint)
def throw_away_files(instance: Adapter | Checkpoint, **kwargs) -> None:
    discard([instance.directory_sha256])


@receiver(post_delete, sender=Attempt)
def throw_away_what_it_stores(instance: Attempt, **kwargs) -> None:
    discard([instance.storing_sha256])
