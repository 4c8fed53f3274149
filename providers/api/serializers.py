from rest_framework import serializers

from apex.common.secrets import LONGEST_SECRET
from providers.models import ProviderKey


class ProviderSerializer(serializers.Serializer):
    """A provider as the caller sees it."""

    name = serializers.CharField(source="provider.name")
    label = serializers.CharField(source="provider.label")
    abilities = serializers.SerializerMethodField()
    needs_key = serializers.BooleanField(source="provider.needs_key")
    takes_address = serializers.BooleanField(
        source="provider.takes_address", help_text="Whether `base_url` is yours to give."
    )
    default_address = serializers.CharField(source="provider.default_address", allow_blank=True)
    key_page = serializers.CharField(
        source="provider.key_page", allow_blank=True, help_text="Where a person gets a key."
    )
    has_key = serializers.BooleanField(
        help_text="Whether you can ask it: by your own key, or by a shared one."
    )
    own_keys = serializers.IntegerField()
    shared_keys = serializers.IntegerField()

    def get_abilities(self, card) -> list[str]:
        return sorted(card.provider.abilities)


class ProviderKeySerializer(serializers.ModelSerializer):
    """A key as its owner sees it: never the key. Of a shared one others see name and provider alone."""

    is_own = serializers.SerializerMethodField(help_text="False: it is shared with you.")
    shared_with = serializers.SerializerMethodField(help_text="User names; seen by its owner alone.")

    class Meta:
        model = ProviderKey
        fields = [
            "id", "provider", "name", "hint", "base_url", "is_own", "is_shared", "shared_with", "created_at",
            "updated_at", "last_used_at", "tested_at", "problem",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "hint": {"help_text": "The last four characters."},
            "problem": {"help_text": "What the last test found wrong; empty: nothing, or not tested."},
        }

    def to_representation(self, row):
        shown = super().to_representation(row)
        if not self.get_is_own(row):
            shown |= {"hint": "", "base_url": "", "last_used_at": None, "tested_at": None, "problem": ""}
        return shown

    def get_is_own(self, row) -> bool:
        return row.owner_id == self.context["request"].user.pk

    def get_shared_with(self, row) -> list[str]:
        return sorted(user.username for user in row.shared_with.all()) if self.get_is_own(row) else []


class ProviderKeyChangeSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80, required=False)
    key = serializers.CharField(
        max_length=LONGEST_SECRET,
        required=False,
        allow_blank=True,
        write_only=True,
        help_text="Never shown again.",
    )
    base_url = serializers.CharField(
        max_length=300, required=False, allow_blank=True,
        help_text="Your server (`custom`, `ollama`), or a proxy of yours before the provider. With another address the "
        "key has to be given again.",
    )  # fmt: skip
    is_shared = serializers.BooleanField(required=False, help_text="For everybody; superusers only.")
    shared_with = serializers.ListField(
        child=serializers.CharField(max_length=150), required=False, max_length=1000,
        help_text="User names that may use it; superusers only.",
    )  # fmt: skip


class NewProviderKeySerializer(serializers.Serializer):
    provider = serializers.CharField(max_length=40, help_text="A `name` out of `/api/v1/providers/`.")
    name = serializers.CharField(max_length=80, default="default")
    key = serializers.CharField(
        max_length=LONGEST_SECRET,
        default="",
        allow_blank=True,
        write_only=True,
        help_text="Never shown again.",
    )
    base_url = serializers.CharField(
        max_length=300,
        default="",
        allow_blank=True,
        help_text="Where your server is (`custom`, `ollama`), or a proxy of yours before the provider; left empty: its "
        "own address.",
    )


class TestedSerializer(serializers.Serializer):
    works = serializers.BooleanField()
    message = serializers.CharField(help_text="What happened, in a sentence.")
    kind = serializers.CharField(
        allow_null=True,
        help_text="null, or: auth, quota, rate, overload, context, content, network, bad_request.",
    )


class TokenPriceSerializer(serializers.Serializer):
    """US dollars for a million tokens."""

    input = serializers.DecimalField(max_digits=16, decimal_places=6)
    output = serializers.DecimalField(max_digits=16, decimal_places=6)
    cached = serializers.DecimalField(max_digits=16, decimal_places=6, allow_null=True)
    source = serializers.CharField()


class ProviderModelSerializer(serializers.Serializer):
    """A model that can be asked with the key; null: the provider does not say."""

    id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    context_tokens = serializers.IntegerField(allow_null=True)
    has_tools = serializers.BooleanField(allow_null=True)
    is_embedding = serializers.BooleanField(allow_null=True)
    price = TokenPriceSerializer(allow_null=True)
