"""`/api/v1/datasets/…`: what is said of a file, before it is brought and after; and its good rows."""

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.api_errors import Conflict
from datasets_app import selectors, services
from datasets_app.api.serializers import BroughtSerializer
from datasets_app.formats import FORMATS

VERSION = OpenApiParameter("version", OpenApiTypes.INT, description="Number of a version; else the newest.")
AS = OpenApiParameter("as", OpenApiTypes.STR, enum=["json", "csv"], description="csv: one fault a line.")


class ReportedFaultSerializer(serializers.Serializer):
    line = serializers.IntegerField(
        allow_null=True,
        help_text="Physical line; record of a JSON list, row of Parquet, each from 1; null: the file.",
    )
    message = serializers.CharField(help_text="What was found, what was expected, how to mend it.")
    code = serializers.CharField(help_text="One of the codes in docs/datasets.md.")
    problem = serializers.CharField()
    mend = serializers.CharField()
    found = serializers.CharField(allow_blank=True, help_text="The place itself, shortened.")


class ReportSerializer(serializers.Serializer):
    """The verdict on one file and everything that led to it."""

    file = serializers.CharField()
    verdict = serializers.ChoiceField(choices=["accept", "warn", "reject"])
    format = serializers.CharField(help_text="One of the formats in docs/datasets.md, or unknown.")
    container = serializers.CharField(help_text="jsonl, json, csv, parquet, text or unknown.")
    kind = serializers.CharField(allow_blank=True, help_text="chat, text, preference or unpaired.")
    rows = serializers.IntegerField(help_text="Samples that would be trained on or compared.")
    error_count = serializers.IntegerField()
    warning_count = serializers.IntegerField()
    errors = ReportedFaultSerializer(many=True, help_text="The first 10,000.")
    warnings = ReportedFaultSerializer(many=True, help_text="The first 10,000.")
    counts = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many faults of each code."
    )
    skipped = serializers.DictField(
        child=serializers.IntegerField(), help_text="Rows that are right to leave out, by reason."
    )
    profile = serializers.DictField(help_text="What the checks found out.")
    columns = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(allow_blank=True)),
        help_text="Names and first values of columns, where no format fits.",
    )


class CheckSerializer(BroughtSerializer):
    """A file or a text to look at."""

    format = serializers.ChoiceField(
        choices=sorted(FORMATS), required=False, help_text="Left out: it is recognised."
    )
    mapping = serializers.JSONField(
        required=False,
        help_text='Which column is what, such as {"question": "Frage", "answer": "Antwort"}.',
    )

    def validate_mapping(self, mapping):
        if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
            raise serializers.ValidationError('Expected an object such as {"question": "Frage"}.')
        return mapping


class ReportActions:
    """The part of the datasets' endpoints that is about reports."""

    @extend_schema(request=CheckSerializer, responses=ReportSerializer)
    @action(detail=False, methods=["post"], filterset_class=None)
    def validate(self, request):
        """Checks a `file` or a `text` and keeps nothing: the report that bringing it would give."""
        asked = self.asked(CheckSerializer)
        file = asked.get("file")
        try:
            report = services.check_brought(
                owner=request.user,
                file=file,
                text=asked.get("text"),
                file_name=file.name if file else "",
                wishes=services.Wishes(format=asked.get("format"), mapping=asked.get("mapping")),
            )
        except services.TooLarge as problem:
            raise self.too_large(problem) from problem
        return Response(report.as_dict())

    @extend_schema(parameters=[VERSION, AS], responses=ReportSerializer)
    @action(detail=True, filterset_class=None, filter_backends=[])
    def report(self, request, pk=None):
        """The whole report on a version, as JSON or with `as=csv` as a table."""
        version = self.version_asked(self.get_object())
        report = selectors.report_of_version(version)
        if request.query_params.get("as") != "csv":
            return Response(report)
        return as_file(selectors.report_csv(report), "text/csv; charset=utf-8", "report.csv")

    @extend_schema(
        parameters=[VERSION], responses={(200, "application/jsonl"): OpenApiResponse(OpenApiTypes.STR)}
    )
    @action(detail=True, filterset_class=None, filter_backends=[])
    def cleaned(self, request, pk=None):
        """The good rows of a version as JSON Lines: a copy of the file without its faults."""
        return cleaned_copy(self.version_asked(self.get_object()))


def as_file(content, content_type: str, name: str) -> HttpResponse:
    return HttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def cleaned_copy(version) -> StreamingHttpResponse:
    try:
        lines = services.good_rows(version=version)
    except services.NoRowsHere as problem:
        raise Conflict(str(problem), code="rows_elsewhere") from problem
    return StreamingHttpResponse(
        lines,
        content_type="application/jsonl",
        headers={"Content-Disposition": 'attachment; filename="cleaned.jsonl"'},
    )
