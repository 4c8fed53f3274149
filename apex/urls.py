"""Every address of the site; `/api/v1/` is in `apex.api_urls`, the OpenAI-compatible surface below `/v1/`."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from apex.common.health import healthz
from apex.common.views import api_docs

# The admin has no door of its own: signing in goes where guessing is limited.
admin.site.login = secure_admin_login(admin.site.login)

handler500 = "apex.common.api_errors.server_error"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    # An address stands in the profile alone; allauth's page for them writes to whatever is typed there.
    path("accounts/email/", RedirectView.as_view(pattern_name="accounts:settings")),
    path("accounts/", include("allauth.account.urls")),
    path("settings/", include("accounts.urls")),
    path("settings/keys/", include("providers.urls")),
    path("settings/log/", include("audit.urls")),
    path("usage/", include("ledger.urls")),
    path("settings/model-names/", include("gateway.page_urls")),
    path("playground/", include("gateway.playground_urls")),
    path("data/", include("datasets_app.urls")),
    path("knowledge/", include("knowledge.urls")),
    path("models/", include("base_models.urls")),
    path("", include("training.urls")),
    path("", include("serving.urls")),
    path("", include("minions.urls")),
    path("v1/", include("gateway.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("api/v1/", include("apex.api_urls")),
]
