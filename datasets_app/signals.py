"""Files go with the rows that hold them, whatever deletes these: a user who is deleted in the admin takes all along."""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from datasets_app.models import DatasetImport, DatasetVersion
from datasets_app.parts import part_path
from datasets_app.services import delete_unused_files


@receiver(post_delete, sender=DatasetVersion)
def throw_away_files_of_version(instance: DatasetVersion, **kwargs) -> None:
    hashes = {instance.source_sha256, instance.rows_sha256, instance.report_sha256} - {""}
    transaction.on_commit(partial(delete_unused_files, hashes))


@receiver(post_delete, sender=DatasetImport)
def throw_away_files_of_import(instance: DatasetImport, **kwargs) -> None:
    def throw_away() -> None:
        part_path(instance.pk).unlink(missing_ok=True)
        delete_unused_files({instance.report_sha256} - {""})

    transaction.on_commit(throw_away)
