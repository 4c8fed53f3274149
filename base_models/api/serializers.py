from rest_framework import serializers

from base_models.models import BaseModel


class BaseModelSerializer(serializers.ModelSerializer):
    class Meta:
        model = BaseModel
        fields = [
            "id",
            "name",
            "display_name",
            "description",
            "source",
            "revision",
            "sha256",
            "parameters",
            "size_bytes",
            "context",
            "licence",
            "is_on_this_machine",
            "problem",
            "recommended_config",
            "created_at",
        ]
