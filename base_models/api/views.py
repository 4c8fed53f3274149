from rest_framework import viewsets

from base_models.api.serializers import BaseModelSerializer
from base_models.models import BaseModel
from base_models.selectors import base_model_or_404


class BaseModelViewSet(viewsets.ReadOnlyModelViewSet):
    """Base models that training can start from. An id may be the UUID or the name."""

    queryset = BaseModel.objects.all()
    serializer_class = BaseModelSerializer
    filterset_fields = ["source", "is_on_this_machine"]
    lookup_value_regex = "[^/]+"

    def get_object(self):
        return base_model_or_404(self.kwargs["pk"])
