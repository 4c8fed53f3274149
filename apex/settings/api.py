"""What programs see: tokens, the API and its description, limits a minute."""

import os

KNOX_TOKEN_MODEL = "accounts.ApiToken"
# Ours replaces knox's table; its migrations would make it all the same, and PostgreSQL then cannot empty the users'.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {
    "TOKEN_TTL": None,
    "TOKEN_PREFIX": "apex_",
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_MODEL": "accounts.ApiToken",
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apex.common.api.ScopedTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "apex.common.api.TokenHasScope",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["ledger.calls.CallsAMinute"],
    "DEFAULT_PAGINATION_CLASS": "apex.common.api.Pagination",
    "DEFAULT_FILTER_BACKENDS": [
        "apex.common.api.FilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apex.common.api_errors.exception_handler",
    "DEFAULT_PARSER_CLASSES": [
        "apex.common.api.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Apex",
    "DESCRIPTION": (
        "Bring examples, train an adapter, use it. Every call is scoped to the caller. What begins with minions/, "
        "conversations/, providers/, provider-keys/, knowledge-bases/, training/jobs/, datasets/ or adapters/ is also "
        "below users/me/ and users/{id}/: one's own id, for superusers anybody's, else 404."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "MethodEnum": "training.models.METHODS",
        "ConnectionKindEnum": "datasets_app.models.ConnectionKind",
        "RowKindEnum": "datasets_app.models.Kind",
        "OnFailureEnum": "minions.models.OnFailure",
        "ExportKindEnum": "serving.exports.models.ExportKind",
        "ExportStatusEnum": "serving.exports.models.ExportStatus",
        "VerdictEnum": "datasets_app.models.Verdict",
    },
}

# Of one person, by the OpenAI-compatible surface; 0: no limit. The admin sets other ones for single people.
REQUESTS_PER_MINUTE = int(os.environ.get("APEX_REQUESTS_PER_MINUTE", "10000"))
TOKENS_PER_MINUTE = int(os.environ.get("APEX_TOKENS_PER_MINUTE", "0"))
# The same for all other calls, below /v1 and /api/v1 together.
CALLS_PER_MINUTE = int(os.environ.get("APEX_CALLS_PER_MINUTE", "10000"))
# So long an answer is taken to be that says nothing of it, where a budget stands.
BUDGET_ANSWER_TOKENS = int(os.environ.get("APEX_BUDGET_ANSWER_TOKENS", "4096"))
# So long what is held for something that runs stays held by a process that does not say any more that it still runs.
BUDGET_LEASE_SECONDS = float(os.environ.get("APEX_BUDGET_LEASE_SECONDS", "900"))
