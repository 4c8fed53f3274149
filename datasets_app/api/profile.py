"""`/api/v1/datasets/<id>/rows/<index>/rendered/`: one example as a base model reads it."""

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
from datasets_app.selectors import profile

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
        row = profile.row_at(version, index)
        if row is None:
            raise Http404
        try:
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
