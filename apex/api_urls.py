"""`/api/v1/`: additive only. `docs/api-schema.yml` is its snapshot, checked by `make check`."""

from django.urls import URLPattern, URLResolver, include, path

from apex.common.of_user import below_user

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("accounts.api.urls")),
    path("", include("audit.api.urls")),
    path("", include("ledger.api.urls")),
    path("", include("datasets_app.api.urls")),
    path("", include("knowledge.api.urls")),
    path("", include("base_models.api.urls")),
    path("", include("providers.api.urls")),
    path("", include("training.api.urls")),
    path("", include("serving.api.urls")),
    path("", include("minions.api.urls")),
    path("", include("gateway.api")),
]

# What is a person's own is also below their path; see `apex.common.of_user`.
OF_A_USER = (
    "minions/", "conversations/", "providers/", "provider-keys/", "knowledge-bases/", "training/jobs/", "datasets/",
    "adapters/",
)  # fmt: skip
each_pattern = [pattern for included in urlpatterns for pattern in included.url_patterns]
urlpatterns += below_user(each_pattern, OF_A_USER)
