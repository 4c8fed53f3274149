"""Files and copies in stores go with the rows that named them, also where a whole user is deleted."""

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from knowledge.erasing import erase_files, forget_index, note_remnant
from knowledge.models import Document, KnowledgeIndex


@receiver(post_delete, sender=Document)
def erase_its_files(instance: Document, **kwargs) -> None:
    source, text = instance.source_sha256, instance.text_sha256
    transaction.on_commit(lambda: erase_files(source, text), robust=True)


@receiver(post_delete, sender=KnowledgeIndex)
def forget_its_copies(instance: KnowledgeIndex, **kwargs) -> None:
    """What a store elsewhere holds is noted in the same transaction: no crash and no outage lets it be forgotten."""
    index_id = instance.pk
    note_remnant(instance)
    transaction.on_commit(lambda: forget_index(index_id), robust=True)
