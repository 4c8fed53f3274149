from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from knowledge.chunking import LARGEST, SMALLEST
from knowledge.embeddings import EMBEDDINGS
from knowledge.models import Document, KnowledgeBase, KnowledgeIndex
from knowledge.stores import STORES

WAYS = ("hybrid", "words", "meaning")


class IndexSerializer(serializers.ModelSerializer):
    class Meta:
        model = KnowledgeIndex
        fields = [
            "number", "status", "embedding", "provider", "model", "dimension", "chunk_size", "chunk_overlap", "store",
            "chunk_count", "progress", "message", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class KnowledgeBaseSerializer(serializers.ModelSerializer):
    index = serializers.SerializerMethodField(help_text="The one that is searched.")
    next_index = serializers.SerializerMethodField(
        help_text="One that is being made, or that could not be made; null if there is none."
    )
    document_count = serializers.SerializerMethodField()

    class Meta:
        model = KnowledgeBase
        fields = [
            "id", "name", "description", "rerank_provider", "rerank_model", "document_count", "index", "next_index",
            "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(IndexSerializer(allow_null=True))
    def get_index(self, base: KnowledgeBase) -> dict | None:
        return self.described(base, is_active=True)

    @extend_schema_field(IndexSerializer(allow_null=True))
    def get_next_index(self, base: KnowledgeBase) -> dict | None:
        return self.described(base, is_active=False)

    def get_document_count(self, base: KnowledgeBase) -> int:
        counted = getattr(base, "document_total", None)
        return base.documents.count() if counted is None else counted

    def described(self, base: KnowledgeBase, *, is_active: bool) -> dict | None:
        found = next((each for each in base.indexes.all() if (each.status == "active") == is_active), None)
        return IndexSerializer(found).data if found else None


class IndexWishSerializer(serializers.Serializer):
    embedding = serializers.ChoiceField(
        choices=sorted(EMBEDDINGS),
        required=False,
        help_text="`minilm`: meanings, on this machine. `provider`: meanings, by a provider's model. `words`: words "
        "alone. Left out: as it is, for a new base `minilm` where it is installed.",
    )
    provider = serializers.CharField(
        max_length=40, required=False, allow_blank=True, help_text="With `provider`: whose."
    )
    model = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="With `provider`: which model of theirs."
    )
    chunk_size = serializers.IntegerField(
        min_value=SMALLEST,
        max_value=LARGEST,
        required=False,
        help_text="Characters of a piece, 1200 at first.",
    )
    chunk_overlap = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST // 2,
        required=False,
        help_text="Characters that neighbours share, 150 at first.",
    )
    store = serializers.ChoiceField(choices=sorted(STORES), required=False)


class KnowledgeBaseChangeSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    rerank_provider = serializers.CharField(
        max_length=40,
        required=False,
        allow_blank=True,
        help_text='Whose model puts what was found in order once more; "" for none.',
    )
    rerank_model = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="Which model of theirs."
    )


class KnowledgeBaseCreateSerializer(IndexWishSerializer):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class DocumentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Document
        fields = [
            "id", "name", "url", "number", "replaces", "kind", "size", "characters", "pages", "chunk_count", "status",
            "progress", "message", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class DocumentAddSerializer(serializers.Serializer):
    file = serializers.FileField(
        required=False, allow_empty_file=True, help_text="PDF, .docx, HTML, Markdown, text or CSV."
    )
    url = serializers.CharField(
        max_length=4000, required=False, help_text="Of a page or file; instead of `file`."
    )

    def validate(self, attrs: dict) -> dict:
        if ("file" in attrs) == ("url" in attrs):
            raise serializers.ValidationError({"file": _("Send either a file or a url.")})
        return attrs


class SearchSerializer(serializers.Serializer):
    question = serializers.CharField(max_length=4000)
    most = serializers.IntegerField(min_value=1, max_value=50, default=6)
    way = serializers.ChoiceField(choices=WAYS, default="hybrid")


class PassageSerializer(serializers.Serializer):
    chunk_id = serializers.UUIDField()
    document_id = serializers.UUIDField()
    document_name = serializers.CharField()
    place = serializers.CharField(help_text="Page or row, and the heading above it.")
    text = serializers.CharField()
    score = serializers.FloatField(help_text="Fused rank; higher is better. Means nothing across questions.")
    by_words = serializers.IntegerField(allow_null=True, help_text="Its rank by words, from 1.")
    by_meaning = serializers.IntegerField(allow_null=True, help_text="Its rank by meaning, from 1.")
    by_reranker = serializers.IntegerField(allow_null=True, help_text="Its rank by the reranker, from 1.")


class RerankedSerializer(serializers.Serializer):
    provider = serializers.CharField()
    model = serializers.CharField()
    pieces = serializers.IntegerField()
    milliseconds = serializers.FloatField()
    tokens = serializers.IntegerField()
    is_estimated = serializers.BooleanField(help_text="The provider told no count of tokens.")
    cost = serializers.DecimalField(
        max_digits=20,
        decimal_places=9,
        allow_null=True,
        help_text="US dollars; null where nobody knows the price.",
    )
    problem = serializers.CharField(
        help_text="Why the order is that of words and meaning; empty if it is not."
    )


class FoundSerializer(serializers.Serializer):
    passages = PassageSerializer(many=True)
    reranked = RerankedSerializer(many=True, help_text="What the base's reranker did, if it has one.")
    quoted = serializers.CharField(
        help_text="The same passages fenced and marked as quotations, ready to be put into a prompt."
    )
