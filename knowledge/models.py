"""What an assistant may look up: knowledge bases, their documents, and the pieces that a search finds.

A document's bytes and its text are in the file store; the pieces (*chunks*), their vectors and their words are rows.
These rows are the truth: an index in memory, or a collection of another store, is made of them and caught up from them.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apex.common.models import OwnedModel


class KnowledgeBase(OwnedModel):
    """A name, some documents, and one index that is searched.

    `rerank_provider` and `rerank_model` put what was found in order once more; both "" where nobody does.
    """

    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("what is in it"), max_length=300, blank=True)
    rerank_provider = models.CharField(_("reranker's provider"), max_length=40, blank=True)
    rerank_model = models.CharField(_("reranker's model"), max_length=200, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("knowledge base")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="knowledge_base_name_is_unique_per_owner")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def active_index(self) -> "KnowledgeIndex | None":
        return self.indexes.filter(status=IndexStatus.ACTIVE).first()


class Worked(OwnedModel):
    """What a worker writes into a row that it has taken (`knowledge.leases`)."""

    progress = models.FloatField(_("progress"), default=0)  # 0 to 1
    attempt = models.UUIDField(null=True, blank=True)  # the fencing token
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    message = models.CharField(_("what happened"), max_length=500, blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta(OwnedModel.Meta):
        abstract = True


class IndexStatus(models.TextChoices):
    QUEUED = "queued", _("waiting to be made")
    BUILDING = "building", _("being made")
    ACTIVE = "active", _("in use")
    FAILED = "failed", _("could not be made")


INDEX_MOVES: dict[str, set[str]] = {
    IndexStatus.QUEUED: {IndexStatus.BUILDING, IndexStatus.FAILED},
    IndexStatus.BUILDING: {IndexStatus.ACTIVE, IndexStatus.FAILED, IndexStatus.QUEUED},
    IndexStatus.FAILED: {IndexStatus.QUEUED},
    IndexStatus.ACTIVE: set(),
}


class KnowledgeIndex(Worked):
    """One way to cut and to place the documents of a base; another way is another index, a new version.

        queued → building → active         it takes the place of the one before, whose rows go
        building → queued                  its worker was lost
        queued | building → failed → queued

    `embedding` names what makes its vectors, `model` and `dimension` are kept with them: vectors of another model
    are refused. Its pieces are numbered from 1 in the order in which they were kept: `last_number` has been given
    away, and `removals` counts the times that pieces went. Whoever holds a copy sees by these two that it is old.
    """

    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="indexes")
    number = models.PositiveIntegerField(_("version"))
    status = models.CharField(_("status"), max_length=12, choices=IndexStatus, default=IndexStatus.QUEUED)
    embedding = models.CharField(_("embedding"), max_length=40)
    provider = models.CharField(_("provider"), max_length=40, blank=True)
    model = models.CharField(_("model of the vectors"), max_length=200, blank=True)
    dimension = models.PositiveIntegerField(
        _("numbers in a vector"), default=0
    )  # 0: not known yet, or no vectors
    chunk_size = models.PositiveIntegerField(_("characters in a piece"), default=1200)
    chunk_overlap = models.PositiveIntegerField(_("characters shared by neighbours"), default=150)
    store = models.CharField(_("store"), max_length=40, default="built_in")
    store_state = models.JSONField(
        default=dict, blank=True
    )  # what another store has been given: its own business
    last_number = models.BigIntegerField(default=0)
    removals = models.BigIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(_("pieces"), default=0)

    class Meta(Worked.Meta):
        abstract = False
        verbose_name = _("index")
        verbose_name_plural = _("indexes")
        constraints = [
            models.UniqueConstraint(fields=["knowledge_base", "number"], name="index_number_is_unique"),
            models.UniqueConstraint(
                fields=["knowledge_base"],
                condition=models.Q(status=IndexStatus.ACTIVE),
                name="one_active_index_a_base",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.knowledge_base} v{self.number}"


class DocumentStatus(models.TextChoices):
    QUEUED = "queued", _("waiting to be read")
    READING = "reading", _("being read")
    READY = "ready", _("ready")
    REFUSED = "refused", _("could not be read")  # the document said no
    CRASHED = "crashed", _("broke off")  # we broke


DOCUMENT_MOVES: dict[str, set[str]] = {
    DocumentStatus.QUEUED: {DocumentStatus.READING, DocumentStatus.CRASHED},
    DocumentStatus.READING: {
        DocumentStatus.READY,
        DocumentStatus.REFUSED,
        DocumentStatus.CRASHED,
        DocumentStatus.QUEUED,  # its worker is gone
    },
    DocumentStatus.REFUSED: {DocumentStatus.QUEUED},
    DocumentStatus.CRASHED: {DocumentStatus.QUEUED},
    DocumentStatus.READY: set(),
}


class Document(Worked):
    """One file or page of a base.

        queued → reading → ready | refused | crashed
        reading → queued                   its worker was lost
        refused | crashed → queued         its owner tries again

    `source_sha256` are its bytes ("" until an address was fetched), `text_sha256` what was read from them
    (`knowledge.texts`). The next version of a document (same name, or the same address fetched again) names the
    one that it `replaces`; that one answers until the new one is ready, and then goes.
    """

    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(_("name"), max_length=255)
    url = models.CharField(_("address"), max_length=4000, blank=True)
    number = models.PositiveIntegerField(_("version"), default=1)
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="replaced_by"
    )
    kind = models.CharField(_("kind"), max_length=12, blank=True)
    source_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    text_sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    size = models.BigIntegerField(_("size"), default=0)  # bytes
    characters = models.PositiveIntegerField(_("characters"), default=0)
    pages = models.PositiveIntegerField(_("pages"), default=0)
    chunk_count = models.PositiveIntegerField(_("pieces"), default=0)
    status = models.CharField(
        _("status"), max_length=12, choices=DocumentStatus, default=DocumentStatus.QUEUED, db_index=True
    )

    class Meta(Worked.Meta):
        abstract = False
        verbose_name = _("document")

    def __str__(self) -> str:
        return self.name


class Chunk(OwnedModel):
    """A piece of a document as an index has it: `text` is the document's text from `start` to `end` (characters).

    `number` is its place in the index and never given twice; `ordinal` its place in the document, from 0.
    """

    index = models.ForeignKey(KnowledgeIndex, on_delete=models.CASCADE, related_name="chunks")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    number = models.BigIntegerField()
    ordinal = models.PositiveIntegerField()
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    page = models.PositiveIntegerField(null=True, blank=True)
    heading = models.CharField(max_length=300, blank=True)

    class Meta(OwnedModel.Meta):
        verbose_name = _("piece")
        constraints = [models.UniqueConstraint(fields=["index", "number"], name="chunk_number_is_unique")]

    def __str__(self) -> str:
        return f"{self.document} #{self.ordinal + 1}"


class IndexBlock(models.Model):
    """What an index needs of `count` neighbouring pieces, from `first_number` on, packed (`knowledge.packing`).

    `vectors` are half floats of length 1, a row a piece, or empty; `words` the hashed words of each piece.
    """

    index = models.ForeignKey(KnowledgeIndex, on_delete=models.CASCADE, related_name="blocks")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="blocks")
    first_number = models.BigIntegerField()
    count = models.PositiveIntegerField()
    vectors = models.BinaryField()
    words = models.BinaryField()

    class Meta:
        verbose_name = _("block of an index")
        verbose_name_plural = _("blocks of an index")
        constraints = [
            models.UniqueConstraint(fields=["index", "first_number"], name="block_number_is_unique")
        ]

    def __str__(self) -> str:
        return f"{self.index_id} {self.first_number}+{self.count}"


class Remnant(models.Model):
    """What a store elsewhere holds of an index that is gone: here from its deletion on, until it is gone there too.

    `whose` is its owner's id as text, and no key: the owner may be gone as well.
    """

    index_id = models.UUIDField(_("index"), unique=True)
    store = models.CharField(_("store"), max_length=40)
    whose = models.CharField(_("whose"), max_length=40, db_index=True)
    created_at = models.DateTimeField(_("deleted"), auto_now_add=True)
    tried_at = models.DateTimeField(_("last tried"), null=True)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    problem = models.CharField(_("why it is there still"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("remnant of a deleted index")
        verbose_name_plural = _("remnants of deleted indexes")
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.store} {self.index_id}"
