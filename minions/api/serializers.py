"""Minions, their conversations and answers as JSON. No token and no key is ever part of one."""

from django.utils.translation import gettext as _
from rest_framework import serializers

from knowledge.models import KnowledgeBase
from minions.models import AnswerTrace, Conversation, Feedback, Message, Minion, MinionVersion
from minions.selectors import experience_of_minion
from minions.services import PLAIN
from training.models import Adapter


class OwnRelatedField(serializers.PrimaryKeyRelatedField):
    """A row of the caller's; another one's looks like a missing one."""

    def __init__(self, model=None, **more):
        self.owned_model = model
        super().__init__(**more)

    def get_queryset(self):
        request = self.context.get("request")
        return self.owned_model.objects.for_user(request.user) if request else self.owned_model.objects.none()


class LinkSerializer(serializers.Serializer):
    """One outside model of a chain, and when it may be asked."""

    provider = serializers.CharField(help_text="Name of a provider, as GET /api/v1/providers/ lists them.")
    model = serializers.CharField(help_text="The provider's own name of the model.")
    key = serializers.CharField(
        allow_null=True, required=False, help_text="Id of a key; null: the first that fits."
    )
    most_cost = serializers.CharField(
        allow_null=True, required=False, help_text="US dollars an answer, at most."
    )
    first_seconds = serializers.FloatField(
        allow_null=True, required=False, help_text="How long its first words may take."
    )
    context = serializers.IntegerField(
        allow_null=True, required=False, help_text="Tokens that it reads and writes together."
    )
    has_tools = serializers.BooleanField(required=False, help_text="Whether it may be given tools.")
    retries = serializers.IntegerField(
        required=False, help_text="Tries beyond the first, while no word has come."
    )
    falls_back_on = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Kinds of failure that send the question on."
    )


class MinionSerializer(serializers.ModelSerializer):
    """An agent: `adapter` is the id of one of your adapters, `chain` the outside models in order."""

    adapter = OwnRelatedField(Adapter, allow_null=True, required=False)
    knowledge_bases = OwnRelatedField(KnowledgeBase, many=True, required=False)
    chain = serializers.JSONField(
        required=False, help_text="A list of links; see docs/minions.md for their fields."
    )
    version = serializers.SerializerMethodField(help_text="Number of the version that shapes answers now.")
    has_token = serializers.SerializerMethodField()
    experience = serializers.SerializerMethodField()

    class Meta:
        model = Minion
        fields = [
            "id", *PLAIN, "adapter", "knowledge_bases", "chain", "version", "has_token", "experience", "created_at",
            "changed_at",
        ]  # fmt: skip
        read_only_fields = ["id", "created_at", "changed_at"]
        # The service says it in words of its own, for pages and programs alike.
        validators = []

    def get_version(self, minion) -> int:
        newest = minion.versions.first()
        return newest.number if newest else 0

    def get_has_token(self, minion) -> bool:
        return hasattr(minion, "token")

    def get_experience(self, minion) -> dict:
        return experience_of_minion(minion).told()


class MinionVersionSerializer(serializers.ModelSerializer):
    class Meta:
        model = MinionVersion
        fields = ["number", "recipe", "created_at"]


class MadeMinionTokenSerializer(serializers.Serializer):
    """The token's text, which is shown in this one answer."""

    token = serializers.CharField()


class ChatSerializer(serializers.Serializer):
    """A question with what was said before it; or one that goes on in a conversation."""

    message = serializers.CharField(required=False, max_length=32_000, help_text="The question, for short.")
    messages = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="OpenAI's messages, the question last."
    )
    conversation = serializers.UUIDField(
        required=False, help_text="Goes on in this conversation, which is kept; with `message` only."
    )
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=32_768)
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)
    stream = serializers.BooleanField(default=False, help_text="Server-sent events, as docs/minions.md says.")

    def validate(self, asked):
        if ("message" in asked) == ("messages" in asked):
            raise serializers.ValidationError({"message": _("Send either `message` or `messages`.")})
        if "conversation" in asked and "messages" in asked:
            raise serializers.ValidationError({"messages": _("A conversation remembers; send `message`.")})
        return asked


class TraceSerializer(serializers.ModelSerializer):
    """How an answer came about, stage by stage."""

    version = serializers.IntegerField(source="version.number", read_only=True)

    class Meta:
        model = AnswerTrace
        fields = [
            "id", "version", "source", "status", "model", "provider", "why", "problem", "stages", "input_tokens",
            "output_tokens", "cost", "own_ms", "first_ms", "total_ms", "created_at",
        ]  # fmt: skip


class AnsweredSerializer(serializers.Serializer):
    """An answer, which model gave it and why, what it cited, and its trace."""

    text = serializers.CharField()
    status = serializers.CharField()
    model = serializers.CharField()
    provider = serializers.CharField()
    why = serializers.CharField()
    citations = serializers.ListField(child=serializers.DictField())
    conversation = serializers.UUIDField(allow_null=True)
    message = serializers.UUIDField(allow_null=True)
    trace = TraceSerializer()


class SaidSerializer(serializers.ModelSerializer):
    model = serializers.CharField(source="trace.model", default="", read_only=True)

    class Meta:
        model = Message
        fields = ["id", "parent", "role", "text", "status", "problem", "citations", "model", "created_at"]


class ConversationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Conversation
        fields = ["id", "minion", "title", "created_at", "changed_at"]
        read_only_fields = ["id", "minion", "created_at", "changed_at"]


class ConversationDetailSerializer(ConversationSerializer):
    """With all its messages, those of other branches too; `shown` is the end of the one in view."""

    messages = SaidSerializer(many=True, read_only=True)

    class Meta(ConversationSerializer.Meta):
        fields = [*ConversationSerializer.Meta.fields, "shown", "messages"]


class FeedbackSerializer(serializers.ModelSerializer):
    """`kind`: good, bad, edit (with `text`) or pick (with `over`, the worse answer)."""

    over = OwnRelatedField(Message, allow_null=True, required=False)

    class Meta:
        model = Feedback
        fields = ["id", "message", "kind", "text", "over", "created_at"]
        read_only_fields = ["id", "message", "created_at"]


class ImproveSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=["sft", "preference"])


class ImprovedSerializer(serializers.Serializer):
    dataset = serializers.UUIDField()
    version = serializers.IntegerField()
    rows = serializers.IntegerField()


class LinkHealthSerializer(serializers.Serializer):
    """An outside model of the chain, and how it is."""

    provider = serializers.CharField()
    model = serializers.CharField()
    rests_for = serializers.IntegerField(
        help_text="Seconds for which it is left alone after failing; 0: it is asked."
    )
    seen_seconds = serializers.FloatField(
        allow_null=True, help_text="How long its first words took of late; null: nobody knows."
    )


class FiguresSerializer(serializers.Serializer):
    """What a minion answered in the last days."""

    days = serializers.IntegerField()
    answers = serializers.IntegerField()
    done = serializers.IntegerField()
    stopped = serializers.IntegerField()
    broken = serializers.IntegerField()
    failed = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost = serializers.DecimalField(max_digits=14, decimal_places=8)
    is_priced = serializers.BooleanField(
        help_text="False: of some of it nobody knows the price; `cost` is the rest."
    )
    first_ms = serializers.FloatField(allow_null=True)
    own_ms = serializers.FloatField(allow_null=True)
    models = serializers.ListField(child=serializers.DictField())
    by_day = serializers.ListField(child=serializers.DictField())
    experience = serializers.DictField()
    chain = LinkHealthSerializer(many=True)
