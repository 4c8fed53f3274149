"""Files as OpenAI's clients know them: bytes with an id and a purpose."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel, OwnedQuerySet
from datasets_app.models import DatasetImport, DatasetVersion, ImportStatus


class FilePurpose(models.TextChoices):
    FINE_TUNE = "fine-tune", _("examples to learn from")
    BATCH = "batch", _("questions of a batch")
    BATCH_OUTPUT = "batch_output", _("answers of a batch")
    FINE_TUNE_RESULTS = "fine-tune-results", _("numbers of a training")
    ASSISTANTS = "assistants", _("assistants")
    VISION = "vision", _("vision")
    USER_DATA = "user_data", _("user data")
    EVALS = "evals", _("evaluations")


class FileQuerySet(OwnedQuerySet):
    def for_user(self, user):
        """Those that are there: neither expired nor erased with the dataset that they became."""
        return super().for_user(user).present()

    def present(self):
        expired = Q(expires_at__lte=timezone.now())
        return self.exclude(expired).filter(Q(version=None) | Q(version__erased_at=None))


class ApiFile(OwnedModel):
    """A file that a program sent, or that a batch or a training left. Its bytes are kept by hash.

    One for fine-tuning becomes a dataset: at once (`version`), or by a worker (`brought_by`), whose outcome is the
    file's status. `problem` says why nothing could be learned from it.
    """

    file_name = models.CharField(_("file"), max_length=255)
    purpose = models.CharField(_("purpose"), max_length=20, choices=FilePurpose)
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.BigIntegerField(_("size"))
    version = models.ForeignKey(
        DatasetVersion, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    brought_by = models.ForeignKey(
        DatasetImport, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    problem = models.TextField(_("why it cannot be used"), blank=True)
    expires_at = models.DateTimeField(_("thrown away at"), null=True, blank=True, db_index=True)

    objects = FileQuerySet.as_manager()

    class Meta(OwnedModel.Meta):
        verbose_name = _("API file")

    def __str__(self) -> str:
        return self.file_name

    @property
    def public_id(self) -> str:
        return f"file-{self.pk.hex}"

    @property
    def is_being_read(self) -> bool:
        """Whether a worker has still to say what it holds."""
        imported = self.brought_by
        if self.version_id or self.problem or imported is None:
            return False
        return imported.status in (ImportStatus.RECEIVING, ImportStatus.QUEUED, ImportStatus.CHECKING)
