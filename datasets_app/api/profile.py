"""What the model sees: `/api/v1/datasets/<id>/rows/<index>/rendered/` and `/api/v1/datasets/<id>/profile/`."""

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from base_models.models import BaseModel
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.selectors import plots, profile
from rendering import RenderError

CHOICES = [
    OpenApiParameter("version", OpenApiTypes.INT, description="Number of a version; else the newest."),
    OpenApiParameter(
        "base_model", OpenApiTypes.STR, description="Name or id; else the smallest on this machine."
    ),
    OpenApiParameter(
        "max_length",
        OpenApiTypes.INT,
        description="Tokens to read of an example; else what a training takes.",
    ),
]


class SpanSerializer(serializers.Serializer):
    text = serializers.CharField(help_text="The text of one token; joined they give `text`.")
    trained = serializers.BooleanField(help_text="Whether it is learned.")
    special = serializers.BooleanField(help_text="A sign that the template sets, as <|im_end|>.")


class ReadingSerializer(serializers.Serializer):
    side = serializers.CharField(help_text="chosen or rejected of a preference; else empty.")
    text = serializers.CharField()
    spans = SpanSerializer(many=True)
    tokens = serializers.IntegerField(help_text="Tokens that are read.")
    trained_tokens = serializers.IntegerField(help_text="Those of them that are learned.")
    whole_tokens = serializers.IntegerField(help_text="What the whole example would take.")
    dropped_turns = serializers.IntegerField(help_text="Oldest turns left out so that the rest fits.")
    dropped = serializers.ListField(child=serializers.DictField(), help_text="The messages of these turns.")
    cut_text = serializers.CharField(help_text="The end of a plain text that is not read.")
    is_too_long = serializers.BooleanField(
        help_text="Not even the last question and answer fit: a training leaves it out, and `text` is the whole."
    )


class RenderedRowSerializer(serializers.Serializer):
    """One example as a base model reads it."""

    index = serializers.IntegerField()
    version = serializers.IntegerField()
    kind = serializers.CharField()
    split = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    base_model = serializers.CharField()
    max_length = serializers.IntegerField()
    readings = ReadingSerializer(many=True, help_text="One, or two of a preference: chosen, then rejected.")


class RenderedRowView(APIView):
    @extend_schema(parameters=CHOICES, responses=RenderedRowSerializer)
    def get(self, request, dataset_id, index):
        """One example as a base model reads it: text, tokens, what is learned, what is left out.

        400 with the code `template_refused` when the model's chat template does not take it.
        """
        version, base_model, max_length = choices(request, dataset_id)
        try:
            row = profile.row_at(version, index)
            if row is None:
                raise Http404
            readings = profile.readings_of(row, version.kind, base_model, max_length)
        except profile.NotRendered as problem:
            message = f"{problem} {problem.advice}"
            raise Unacceptable(message, code="template_refused", field="base_model") from problem
        return Response(
            {
                "index": index,
                "version": version.number,
                "kind": version.kind,
                "split": row["split"],
                "line": row.get("line"),
                "base_model": base_model.name,
                "max_length": max_length,
                "readings": [profile.as_data(reading) for reading in readings],
            }
        )


class BarSerializer(serializers.Serializer):
    rows = serializers.IntegerField()

    def get_fields(self):
        # “from” is a word of Python's.
        number = serializers.FloatField
        return {
            "from": number(),
            "to": number(allow_null=True, help_text="Null: all that are longer."),
            **super().get_fields(),
        }


class RefusalSerializer(serializers.Serializer):
    number = serializers.IntegerField(help_text="The example, from 1.")
    line = serializers.IntegerField(allow_null=True)
    why = serializers.CharField()


class TokenFactsSerializer(serializers.Serializer):
    rows = serializers.IntegerField(help_text="Rows that were measured: all, or a sample.")
    readable_rows = serializers.IntegerField()
    tokens = serializers.IntegerField()
    trained_tokens = serializers.IntegerField()
    trained_share = serializers.FloatField(help_text="Part of 1.")
    mean = serializers.FloatField()
    median = serializers.IntegerField()
    percentile_95 = serializers.IntegerField()
    longest = serializers.IntegerField()
    max_length = serializers.IntegerField()
    shortened_rows = serializers.IntegerField(help_text="Rows that lose their oldest turns at `max_length`.")
    left_out_rows = serializers.IntegerField(help_text="Rows that do not fit even so.")
    longer_share = serializers.FloatField(help_text="Part of the readable rows longer than `max_length`.")
    refused_rows = serializers.IntegerField(help_text="Rows that the model's template does not take.")
    first_refusal = RefusalSerializer(allow_null=True)
    histogram = BarSerializer(many=True)
    trained_share_histogram = BarSerializer(many=True)


class ProgressSerializer(serializers.Serializer):
    done = serializers.IntegerField()
    rows = serializers.IntegerField()


class ProfileSerializer(serializers.Serializer):
    """A whole version as a base model reads it."""

    version = serializers.IntegerField()
    base_model = serializers.CharField()
    rows = serializers.IntegerField(help_text="Rows of the version.")
    is_whole = serializers.BooleanField(help_text="Whether `tokens` are those of all rows, not of a sample.")
    is_drawn = serializers.BooleanField(
        help_text="Whether a sample is drawn at random; else it is the first rows."
    )
    is_counting = serializers.BooleanField(help_text="A worker counts the rest: ask again.")
    progress = ProgressSerializer(allow_null=True)
    problem = serializers.CharField(allow_blank=True, help_text="Why no worker counts the rest.")
    tokens = TokenFactsSerializer()
    content = serializers.DictField(
        allow_null=True,
        help_text="messages and characters by role, turns, languages, duplicates; null while not counted.",
    )


class ProfileView(APIView):
    @extend_schema(parameters=CHOICES, responses=ProfileSerializer)
    def get(self, request, dataset_id):
        """A whole version as a base model reads it: lengths, what is learned, roles, languages, duplicates.

        Of many rows a sample answers at once, and all are counted meanwhile: ask again while `is_counting`.
        """
        version, base_model, max_length = choices(request, dataset_id)
        try:
            return Response(plots.whole_profile(version, base_model, max_length))
        except (RenderError, OSError) as problem:
            message = f"{base_model.display_name} cannot count these examples: {problem}"
            raise Unacceptable(message, code="template_refused", field="base_model") from problem


def choices(request, dataset_id) -> tuple[DatasetVersion, BaseModel, int]:
    """What the call names: 404 for a wrong dataset or version, 400 with the value for another wrong parameter."""
    dataset = owned_or_404(Dataset, request.user, pk=dataset_id)
    asked = request.query_params
    version = profile.chosen_version(dataset, asked.get("version", ""))
    if version is None:
        raise Http404
    try:
        base_model = profile.chosen_base_model(asked.get("base_model", ""))
        if base_model is None:
            raise Unacceptable("There is no base model on this machine yet.", field="base_model")
        return version, base_model, profile.chosen_max_length(asked.get("max_length", ""), base_model)
    except profile.BadChoice as problem:
        raise Unacceptable(str(problem), field=problem.field) from problem
