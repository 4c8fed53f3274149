"""What an adapter learned lies in files; they go with its row, whatever deletes it."""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from training.models import Adapter
from training.services import delete_unused_directories


@receiver(post_delete, sender=Adapter)
def throw_away_files_of_adapter(instance: Adapter, **kwargs) -> None:
    transaction.on_commit(partial(delete_unused_directories, [instance.directory_sha256]))
