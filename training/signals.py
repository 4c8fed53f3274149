"""What an adapter or a checkpoint holds lies in files; they go with its row, whatever deletes it."""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from training.checkpoints import delete_unused
from training.models import Adapter, Checkpoint


@receiver(post_delete, sender=Adapter)
@receiver(post_delete, sender=Checkpoint)
def throw_away_files(instance: Adapter | Checkpoint, **kwargs) -> None:
    transaction.on_commit(partial(delete_unused, [instance.directory_sha256]))
