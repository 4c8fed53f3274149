"""An export's file goes with its row, whatever deletes it."""

from django.db.models.signals import post_delete
from django.dispatch import receiver

from serving.exports.models import Export
from training.checkpoints import discard


@receiver(post_delete, sender=Export)
def throw_away_file(instance: Export, **kwargs) -> None:
    discard([instance.sha256])
