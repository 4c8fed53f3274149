"""`/api/v1/`: additive only. `docs/api-schema.yml` is its snapshot, checked by `make check`."""

from django.urls import include, path

urlpatterns = [
    path("", include("accounts.api.urls")),
    path("", include("datasets_app.api.urls")),
    path("", include("knowledge.api.urls")),
    path("", include("base_models.api.urls")),
    path("", include("providers.api.urls")),
    path("", include("training.api.urls")),
    path("", include("serving.api.urls")),
    path("", include("gateway.api")),
]
