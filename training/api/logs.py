"""What the engine wrote, as a file: an action of `JobViewSet`."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action

from training.models import TrainingJob
from training.views.jobs import log_response


class LogActions:
    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    @action(detail=True, queryset=TrainingJob.objects.none(), filterset_fields=[], ordering_fields=[])
    def log(self, request, pk=None):
        """The whole log of its last five attempts; of one longer than 5 MB the first million bytes and the end."""
        return log_response(self.get_object())
