"""What the API says of curves, and of jobs side by side."""

from rest_framework import serializers


class CurveSerializer(serializers.Serializer):
    steps = serializers.ListField(
        child=serializers.IntegerField(), help_text="The first step, then the difference to each next one."
    )
    values = serializers.ListField(child=serializers.FloatField())


class CurvesSerializer(serializers.Serializer):
    steps = serializers.IntegerField(help_text="Steps of the whole training.")
    first = serializers.IntegerField(help_text="First step of the answer.")
    last = serializers.IntegerField(help_text="Last step of the answer.")
    column = serializers.IntegerField(help_text="Steps of a column, which begin at its multiples.")
    series = serializers.DictField(
        child=CurveSerializer(), help_text="By name; one without numbers is left out."
    )


class ComparedJobSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class ComparedRowSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="A field of the job; a setting is config.NAME.")
    values = serializers.ListField(
        child=serializers.JSONField(), help_text="One for each job, in their order."
    )
    is_same = serializers.BooleanField()


class ComparedLineSerializer(serializers.Serializer):
    job = serializers.UUIDField()
    name = serializers.CharField()
    series = serializers.CharField()
    place = serializers.IntegerField(help_text="Place of the job, from 0.")
    is_main = serializers.BooleanField(help_text="The line that counts: that of held-out examples.")
    x = serializers.ListField(child=serializers.FloatField())
    y = serializers.ListField(child=serializers.FloatField())


class ComparedChartSerializer(serializers.Serializer):
    series = serializers.CharField()
    by = serializers.CharField()
    is_plain = serializers.BooleanField(help_text="No line counts more than the others.")
    lines = ComparedLineSerializer(many=True)


class JobComparisonSerializer(serializers.Serializer):
    jobs = ComparedJobSerializer(many=True)
    rows = ComparedRowSerializer(many=True)
    chart = ComparedChartSerializer()
