from datetime import timedelta

from rest_framework import serializers

from ledger.models import Kind, Measure, Outcome, Period, Scope, UsageLine
from ledger.money import dollars_of
from ledger.selectors import GROUPS, USUAL_DAYS, Wish, today


class WishSerializer(serializers.Serializer):
    """What of the ledger is asked for; days are in UTC."""

    since = serializers.DateField(required=False, help_text=f"First day; {USUAL_DAYS} days ago if left out.")
    until = serializers.DateField(required=False, help_text="Last day; today if left out.")
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    model = serializers.CharField(required=False)
    provider = serializers.CharField(required=False)
    activity = serializers.CharField(required=False, help_text="chat, embeddings, training, …")
    outcome = serializers.ChoiceField(choices=Outcome.choices, required=False)
    minion = serializers.UUIDField(required=False)
    token = serializers.UUIDField(required=False)
    everybody = serializers.BooleanField(default=False, help_text="Of everybody; superusers only.")
    owner = serializers.CharField(required=False, help_text="With everybody: of this person.")

    def wish(self) -> Wish:
        asked = dict(self.validated_data)
        until = asked.pop("until", None) or today()
        since = asked.pop("since", None) or until - timedelta(days=USUAL_DAYS - 1)
        return Wish(since=since, until=until, is_everybodys=asked.pop("everybody"), **asked)


class CsvWishSerializer(WishSerializer):
    group_by = serializers.CharField(
        default="", help_text=f"One or several, with commas: {', '.join(GROUPS)}. Left out: every line."
    )

    def validate_group_by(self, text: str) -> list[str]:
        return by_of(text) if text else []


class UsageWishSerializer(WishSerializer):
    group_by = serializers.CharField(
        default="day", help_text=f"One or several, with commas: {', '.join(GROUPS)}."
    )

    def validate_group_by(self, text: str) -> list[str]:
        return by_of(text)


def by_of(text: str) -> list[str]:
    """What is named, once each. Raises ValidationError for what cannot be grouped by."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in GROUPS]
    if unknown or not names:
        known = ", ".join(GROUPS)
        raise serializers.ValidationError(
            f"It can be grouped by {known}; found: {', '.join(unknown) or 'none'}."
        )
    return list(dict.fromkeys(names))


class SumSerializer(serializers.Serializer):
    count = serializers.IntegerField()
    failures = serializers.IntegerField(help_text="Refused or failed.")
    failure_share = serializers.FloatField(help_text="Of all calls, in per cent.")
    money = serializers.DecimalField(max_digits=20, decimal_places=9, help_text="US dollars.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    gpu_seconds = serializers.FloatField()
    latency_ms = serializers.FloatField(allow_null=True, help_text="Mean, to the end of answers that came.")
    latency_p50_ms = serializers.FloatField(
        allow_null=True, help_text="Half of them came within; to a few per cent."
    )
    latency_p95_ms = serializers.FloatField(allow_null=True, help_text="95 of 100 came within.")
    slowest_ms = serializers.FloatField(allow_null=True)
    first_byte_ms = serializers.FloatField(allow_null=True, help_text="Mean, to the first words of streams.")
    first_byte_p50_ms = serializers.FloatField(allow_null=True)
    first_byte_p95_ms = serializers.FloatField(allow_null=True)


class GroupSerializer(SumSerializer):
    day = serializers.DateField(required=False)
    model = serializers.CharField(required=False)
    provider = serializers.CharField(required=False)
    kind = serializers.CharField(required=False)
    activity = serializers.CharField(required=False)
    outcome = serializers.CharField(required=False)
    error = serializers.CharField(required=False, help_text="In a word what went wrong; empty: nothing.")
    minion = serializers.UUIDField(required=False, allow_null=True)
    minion_name = serializers.CharField(required=False)
    token = serializers.UUIDField(required=False, allow_null=True)
    token_name = serializers.CharField(required=False)
    owner = serializers.IntegerField(required=False)
    owner_name = serializers.CharField(required=False)


class ErrorSerializer(serializers.Serializer):
    error = serializers.CharField(help_text="In a word: insufficient_quota, rate, network, http_500, …")
    outcome = serializers.CharField(help_text="refused or failed")
    failures = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of all calls, in per cent.")


class UsageSerializer(serializers.Serializer):
    since = serializers.DateField()
    until = serializers.DateField()
    total = SumSerializer()
    errors = ErrorSerializer(many=True, help_text="By kind, the most frequent first.")
    groups = GroupSerializer(many=True)


class LineSerializer(serializers.ModelSerializer):
    money = serializers.DecimalField(max_digits=20, decimal_places=9, read_only=True, help_text="US dollars.")
    gpu_seconds = serializers.SerializerMethodField()
    price = serializers.SerializerMethodField(
        help_text="US dollars for a million tokens (input, output, cached) or an hour of a device; null: none."
    )

    class Meta:
        model = UsageLine
        fields = [
            "id", "at", "kind", "activity", "provider", "model", "adapter_id", "token_id", "minion_id", "job_id",
            "reference", "input_tokens", "output_tokens", "cached_tokens", "gpu_seconds", "is_estimated", "money",
            "price", "price_source", "outcome", "status", "error", "is_stream", "first_byte_ms", "latency_ms",
        ]  # fmt: skip
        read_only_fields = fields

    def get_gpu_seconds(self, line) -> float | None:
        return None if line.gpu_ms is None else line.gpu_ms / 1000

    def get_price(self, line) -> dict[str, float | None]:
        prices = {
            "input": line.input_price, "output": line.output_price, "cached": line.cached_price,
            "hour": line.hour_price,
        }  # fmt: skip
        return {name: None if price is None else float(dollars_of(price)) for name, price in prices.items()}


class BudgetSerializer(serializers.Serializer):
    """A budget as it binds the caller. Amounts are US dollars, tokens or seconds, by `measure`."""

    id = serializers.UUIDField(source="budget.pk")
    scope = serializers.ChoiceField(choices=Scope.choices, source="budget.scope")
    token = serializers.UUIDField(source="budget.token_id", allow_null=True)
    minion = serializers.UUIDField(source="budget.minion_id", allow_null=True)
    name = serializers.CharField(source="budget.name")
    measure = serializers.ChoiceField(choices=Measure.choices, source="budget.measure")
    period = serializers.ChoiceField(choices=Period.choices, source="budget.period")
    is_own = serializers.BooleanField(
        source="budget.is_own", help_text="Set by the caller, not by the house."
    )
    began_at = serializers.DateTimeField(source="counter.began_at")
    limit = serializers.FloatField()
    spent = serializers.FloatField()
    reserved = serializers.FloatField(help_text="Held for what runs just now.")
    left = serializers.FloatField()


class SetBudgetSerializer(serializers.Serializer):
    """Without `owner`: a limit of one's own, which can only be lower than the house's. With it, for superusers: a
    budget of the house for this person, or for everybody, each for themselves, where it is `*`."""

    limit = serializers.DecimalField(max_digits=20, decimal_places=9, min_value=0, allow_null=True)
    measure = serializers.ChoiceField(choices=Measure.choices, default=Measure.MONEY)
    period = serializers.ChoiceField(choices=Period.choices, default=Period.MONTH)
    token = serializers.UUIDField(default=None, allow_null=True)
    minion = serializers.UUIDField(default=None, allow_null=True)
    name = serializers.CharField(default="", max_length=120, allow_blank=True)
    owner = serializers.CharField(default="", allow_blank=True)


class HouseBudgetSerializer(serializers.Serializer):
    """A budget as it was set."""

    id = serializers.UUIDField(source="pk")
    owner = serializers.CharField(source="owner.username", default=None, allow_null=True)
    scope = serializers.CharField()
    token = serializers.UUIDField(source="token_id", allow_null=True)
    minion = serializers.UUIDField(source="minion_id", allow_null=True)
    name = serializers.CharField()
    measure = serializers.CharField()
    period = serializers.CharField()
    is_own = serializers.BooleanField()
    limit = serializers.FloatField(source="public_limit", allow_null=True)
