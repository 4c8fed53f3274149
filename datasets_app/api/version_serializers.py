"""What the API says of versions: how they were made, what would be made of them, how two differ."""

from rest_framework import serializers

from datasets_app import selectors
from datasets_app.api.serializers import VersionWithFaultsSerializer
from datasets_app.deriving.recipes import WAYS
from datasets_app.selectors.comparing import KINDS


class VersionDetailSerializer(VersionWithFaultsSerializer):
    made_words = serializers.SerializerMethodField(help_text="How it was made, in words.")

    class Meta(VersionWithFaultsSerializer.Meta):
        fields = [
            *VersionWithFaultsSerializer.Meta.fields,
            "made_from",
            "made_words",
            "merged_from",
            "profile",
        ]
        read_only_fields = fields

    def get_made_words(self, version) -> str:
        return selectors.made_words(version)


class RecipeSerializer(serializers.Serializer):
    """How to make a version of another.

    `settings` by `make`: **edit** `{"changes": [{"row": 3, "content": {…}}, {"row": 4, "delete": true},
    {"row": 5, "split": "held_out"}]}`; **filter** `mode` (keep, drop), `contains`, `role`, `split`, `min_characters`,
    `max_characters`, `min_turns`, `max_turns`, `base_model` with `min_tokens`, `max_tokens`, `language`, `has_tools`,
    `codes`, `verdict` (star, reject, none), `min_rating`, `tag`; **split** `share` (0.12), `seed`, `by` (language,
    length, turns, system, tools, tag); **merge** `with_versions` (ids), `drop_duplicates`; **deduplicate** `near`,
    `threshold` (0.85), `keep` (first, longest); **clean** `codes`; **mask** `kinds`; **restore** `version` (the id of
    an earlier one, whose rows come back after the version of the address). Rows are counted from 0.
    """

    make = serializers.ChoiceField(choices=list(WAYS))
    settings = serializers.DictField(required=False, help_text="What is left out is as on the page.")


class DeriveSerializer(RecipeSerializer):
    newest_only = serializers.BooleanField(
        default=False, help_text="Answer 409 if there is a newer version by now, in place of making a branch."
    )


class PreviewSerializer(serializers.Serializer):
    """What a recipe would make. The counts are of the `looked_at` rows (of `of`) that were read."""

    words = serializers.CharField()
    rows_before = serializers.IntegerField()
    rows_after = serializers.IntegerField()
    train_count = serializers.IntegerField()
    held_out_count = serializers.IntegerField()
    conversation_count = serializers.IntegerField()
    looked_at = serializers.IntegerField()
    of = serializers.IntegerField()
    told = serializers.DictField(help_text="What this way has to tell: strata, groups of duplicates, counts.")


class FigureSerializer(serializers.Serializer):
    name = serializers.CharField(
        help_text="rows, train, held_out, conversations, characters_…, or role:NAME."
    )
    first = serializers.IntegerField()
    second = serializers.IntegerField()
    difference = serializers.IntegerField()


class DifferenceSerializer(serializers.Serializer):
    """One row: in the first version, in the second, or in both."""

    first = serializers.IntegerField(required=False, help_text="Number of the row in the first, from 0.")
    second = serializers.IntegerField(required=False)
    before = serializers.DictField(required=False)
    row = serializers.DictField()
    turns = serializers.ListField(
        required=False,
        child=serializers.DictField(),
        help_text="`{role, state, pieces: [[same|gone|new, text]]}`: the words that changed.",
    )
    split = serializers.ListField(required=False, child=serializers.CharField())


class ComparisonSerializer(serializers.Serializer):
    first = serializers.UUIDField()
    second = serializers.UUIDField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text=f"same, {', '.join(KINDS)}.")
    figures = FigureSerializer(many=True)
    kind = serializers.ChoiceField(choices=KINDS)
    count = serializers.IntegerField(help_text="How many rows of this kind there are.")
    results = DifferenceSerializer(many=True)


class MemberSerializer(serializers.Serializer):
    """One version in the family, with the calls that tell what learned from it."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    parent = serializers.UUIDField(allow_null=True)
    merged_from = serializers.ListField(child=serializers.UUIDField())
    made_by = serializers.CharField()
    made_words = serializers.CharField()
    made_from = serializers.DictField()
    verdict = serializers.CharField()
    row_count = serializers.IntegerField()
    rows_sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()
    erased_at = serializers.DateTimeField(allow_null=True)
    jobs_url = serializers.CharField(help_text="The trainings that learned from it.")
    adapters_url = serializers.CharField(help_text="What they left.")


class LearnerSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=["job", "adapter"])
    id = serializers.CharField()
    name = serializers.CharField()
    version = serializers.UUIDField(source="version_id")
    is_at_work = serializers.BooleanField(help_text="Needs the rows now: nothing can be erased meanwhile.")


class ErasureSerializer(serializers.Serializer):
    """What erasing would touch."""

    versions = serializers.SerializerMethodField(help_text="Numbers of the versions that go.")
    rows = serializers.IntegerField()
    files = serializers.IntegerField(help_text="Stored files that go.")
    file_bytes = serializers.IntegerField()
    shared_files = serializers.IntegerField(help_text="Stay, because another version holds the same bytes.")
    reviews = serializers.IntegerField()
    gold_stars = serializers.IntegerField()
    share_links = serializers.IntegerField()
    imports = serializers.IntegerField()
    learners = LearnerSerializer(many=True, help_text="Stay, and are marked with `data_erased_at`.")

    def get_versions(self, erasure) -> list[int]:
        return [version.number for version in erasure.versions]
