"""Settings that hold everywhere. What a person may set comes from the environment (docs/operations.md)."""

import contextlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

import dj_database_url
from django.utils.translation import gettext_lazy as _

from apex.processes import broker
from apex.settings.queues import count_gpus, node_name, training_queues

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("APEX_DATA_DIR", BASE_DIR / "var")).resolve()
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def secret_key() -> str:
    """`APEX_SECRET_KEY`, or a key that is made once and kept, readable by its owner only, in the data directory."""
    if given := os.environ.get("APEX_SECRET_KEY"):
        return given
    path = DATA_DIR / "secret_key"
    if not path.exists():
        # Written aside and then linked: two that start at once agree, and a full disk leaves no half a key.
        with tempfile.NamedTemporaryFile("w", dir=DATA_DIR, prefix="secret_key.") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_text().strip()


SECRET_KEY = secret_key()
DEBUG = False
HOST = os.environ.get("APEX_HOST", "127.0.0.1")
PORT = int(os.environ.get("APEX_PORT", "8000"))
ALLOWED_HOSTS = [
    host for host in os.environ.get("APEX_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",") if host
]
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("APEX_TRUSTED_ORIGINS", "").split(",") if origin]
# Whose word on a visitor's address the web server takes; it then stands in REMOTE_ADDR.
TRUSTED_PROXIES = os.environ.get("APEX_TRUSTED_PROXIES", "").replace(" ", "")
ROOT_URLCONF = "apex.urls"
ASGI_APPLICATION = "apex.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "template_partials.apps.SimpleAppConfig",
    "django_htmx",
    "allauth",
    "allauth.account",
    "knox",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "channels",
    "apex",
    "audit",
    "accounts",
    "ledger",
    "base_models",
    "datasets_app",
    "providers",
    "knowledge",
    "training",
    "serving",
    "minions",
    "gateway",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "apex.common.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apex.common.middleware.note_who_acts",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.user_time_zone",
]

# template-partials goes outermost, so that `page.html#part` works with the cached loader.
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "django.template.context_processors.tz",
            ],
        },
    }
]

# --- Data -------------------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{DATA_DIR / 'apex.sqlite3'}", conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers never block the writer, and a writer waits its turn in place of failing with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
    }

STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "media"},
    },
    "artifacts": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "artifacts"},
    },
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}
ARTIFACT_CACHE = DATA_DIR / "cache"
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
UPLOAD_LIMIT_BYTES = 100 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = UPLOAD_LIMIT_BYTES + 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "uploads"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)
# Larger files that come by a form are checked by a worker; smaller ones while the browser waits.
CHECK_AT_ONCE_BYTES = 2 * 1024 * 1024
UPLOAD_KEEP_HOURS = float(os.environ.get("APEX_UPLOAD_HOURS", "24"))
OPEN_UPLOADS = 20  # of one person

# --- Broker, cache, channel layer: one server, four databases ----------------------------------------------
REDIS_URL = os.environ.get("APEX_REDIS_URL") or broker.redis_url(DATA_DIR)
CELERY_BROKER_URL = broker.celery_url(REDIS_URL, db=0)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": broker.redis_py_url(REDIS_URL, db=1),
        # redis-py 8 stops at 100 connections and gives up after 5 s; a busy site needs more of the first.
        "OPTIONS": {"max_connections": 1000, "socket_timeout": 10},
        "KEY_PREFIX": "apex",
    }
}
CHANNEL_LAYERS = {"default": broker.channel_layer_config(REDIS_URL)}

# --- Work ---------------------------------------------------------------------------------------------------
GPU_COUNT = count_gpus()
NODE_NAME = node_name()
TRAINING_QUEUES = training_queues(GPU_COUNT, NODE_NAME)
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_IGNORE_RESULT = True
# Early: a redelivered task finds its row claimed and stops, so an hour-long job can never run twice.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Publishing must not hang a click when the broker is away: the row stays, and the sweep sends it again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 3, "max_connections": 1000}
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
TRAINING_HEARTBEAT_SECONDS = float(os.environ.get("APEX_HEARTBEAT_SECONDS", "3"))
TRAINING_LEASE_SECONDS = float(os.environ.get("APEX_LEASE_SECONDS", "20"))
TRAINING_SWEEP_SECONDS = float(os.environ.get("APEX_SWEEP_SECONDS", "10"))
# How often an idle worker looks for work by itself, whatever the broker does.
TRAINING_LOOK_SECONDS = float(os.environ.get("APEX_LOOK_SECONDS", "15"))
# How often servers of models are asked what they have: a server that was started anew gets its adapters back then.
SERVING_LOOK_SECONDS = float(os.environ.get("APEX_SERVING_LOOK_SECONDS", "5"))
CELERY_BEAT_SCHEDULE = {
    "sweep-jobs": {
        "task": "training.tasks.sweep_jobs",
        "schedule": TRAINING_SWEEP_SECONDS,
        "options": {"expires": max(10.0, TRAINING_SWEEP_SECONDS)},
    },
    "sweep-gateway": {
        "task": "gateway.tasks.sweep_gateway",
        "schedule": TRAINING_SWEEP_SECONDS,
        "options": {"expires": max(10.0, TRAINING_SWEEP_SECONDS)},
    },
    "sweep-imports": {
        "task": "datasets_app.tasks.sweep_imports",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "sweep-knowledge": {
        "task": "knowledge.tasks.sweep_knowledge",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "sweep-minions": {
        "task": "minions.tasks.sweep_minions",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "sweep-exports": {
        "task": "serving.tasks.sweep_exports",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "sweep-ledger": {
        "task": "ledger.tasks.sweep_ledger",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "look-after-nodes": {
        "task": "serving.tasks.reconcile",
        "schedule": SERVING_LOOK_SECONDS,
        "options": {"expires": max(5.0, SERVING_LOOK_SECONDS)},
    },
}
# Converters to GGUF come with llama.cpp; the Python that runs them may have packages that ours has not.
LLAMA_CPP_DIR = os.environ.get("APEX_LLAMA_CPP_DIR", "")
LLAMA_CPP_PYTHON = os.environ.get("APEX_LLAMA_CPP_PYTHON") or sys.executable
EXPORT_KEEP_DAYS = float(os.environ.get("APEX_EXPORT_DAYS", "7"))
EXPORTS_AT_ONCE = 1  # each holds a whole base model in memory
EXPORT_SILENT_SECONDS = 60  # then its worker is taken for gone
EXPORT_TRIES = 3
TRAINING_DRILLS = os.environ.get("APEX_DRILLS", "") == "1"
TRAINING_TRIES = int(os.environ.get("APEX_TRAINING_TRIES", "5"))  # attempts in a row that saved nothing new
IMPORTS_AT_ONCE = 2  # worker-default has hands beside these, for documents, exports, batches and the sweeps
IMPORT_SECONDS = 3600
IMPORT_MEMORY_BYTES = int(os.environ.get("APEX_IMPORT_MEMORY_MB", "2048")) * 1024 * 1024
IMPORT_SILENT_SECONDS = 30  # then its worker is taken for gone
IMPORT_TRIES = 3
IMPORT_KEEP_DAYS = 30
BATCH_CONCURRENCY = int(os.environ.get("APEX_BATCH_CONCURRENCY", "8"))  # questions of a batch at once
# Knowledge: documents that are read, and the indexes that are searched.
DOCUMENT_LIMIT_BYTES = int(os.environ.get("APEX_DOCUMENT_MB", "50")) * 1024 * 1024
DOCUMENT_SECONDS = 300  # for reading one, without its vectors
DOCUMENT_MEMORY_BYTES = int(os.environ.get("APEX_DOCUMENT_MEMORY_MB", "1024")) * 1024 * 1024
DOCUMENTS_AT_ONCE = 2  # of all people; one person never has all hands
DOCUMENTS_WAITING_AT_MOST = 500  # of one person
DOCUMENT_SILENT_SECONDS = 60  # then its worker is taken for gone
DOCUMENT_TRIES = 3
KNOWLEDGE_MEMORY_BYTES = (
    int(os.environ.get("APEX_KNOWLEDGE_MEMORY_MB", "512")) * 1024 * 1024
)  # of a process, for indexes
KNOWLEDGE_CACHE = DATA_DIR / "knowledge-cache"  # copies of large indexes, made of the rows; may be removed
# ChromaDB as a store of vectors: a program that `manage.py up` starts on loopback, or one that runs elsewhere.
CHROMA_PROGRAM = os.environ.get("APEX_CHROMA_PROGRAM", "")
CHROMA_PORT = int(os.environ.get("APEX_CHROMA_PORT", "8002"))
CHROMA_URL = os.environ.get("APEX_CHROMA_URL") or (
    f"http://127.0.0.1:{CHROMA_PORT}" if CHROMA_PROGRAM else ""
)
EMBEDDED_URL = os.environ.get("APEX_EMBEDDED_URL") or broker.socket_url(DATA_DIR, "serving")
# A vLLM of our own, started by `manage.py up` where a base model is named, and by `manage.py serve_vllm`.
VLLM = {
    "base_model": os.environ.get("APEX_VLLM_BASE_MODEL", ""),
    "host": os.environ.get("APEX_VLLM_HOST", "127.0.0.1"),
    "port": int(os.environ.get("APEX_VLLM_PORT", "8001")),
    "device": os.environ.get("APEX_VLLM_DEVICE", "gpu" if GPU_COUNT else "cpu"),
    "adapters": int(os.environ.get("APEX_VLLM_ADAPTERS", "8")),
    "most_rank": int(os.environ.get("APEX_VLLM_RANK", "64")),
    "context": int(os.environ.get("APEX_VLLM_CONTEXT", "0")),  # tokens; 0: the model's own
    "api_key": os.environ.get("APEX_VLLM_KEY", ""),
    "program": os.environ.get("APEX_VLLM_PROGRAM", ""),
    "options": os.environ.get("APEX_VLLM_OPTIONS", ""),
}

# Who says what learned from a version of a dataset; datasets_app imports no app above it.
DATASET_LEARNERS = ["training.lineage"]
# Who says what minions are called, by their keys (`names_of(keys) -> dict`); the ledger imports no app above it.
MINION_NAMES = ["minions.naming"]
# Who says that an adapter is at work, so that it is not deleted; training imports no app above it.
ADAPTER_USERS = ["serving.adapter_use", "minions.adapter_use"]
# Who needs stored bytes, asked before any are removed (`apex.common.files.is_held`).
FILE_HOLDERS = [
    "datasets_app.holding",
    "knowledge.holding",
    "training.holding",
    "serving.holding",
    "gateway.holding",
]

TRACKER = os.environ.get(
    "APEX_TRACKER", ""
).lower()  # who else is told what trainings measure: training/trackers
HUB_ENDPOINT = os.environ.get("HF_ENDPOINT")  # None: the hub itself

# --- Ways out, and other people's credentials ----------------------------------------------------------------
# Who says which private hosts and which directories users may name; apex.common imports no app.
ALLOWED_PLACES = "accounts.places.allowed_places"
ALLOWED_HOSTS_OUT = [place for place in os.environ.get("APEX_ALLOWED_HOSTS_OUT", "").split(",") if place]
ALLOWED_DIRECTORIES = [place for place in os.environ.get("APEX_ALLOWED_DIRECTORIES", "").split(":") if place]
SECRET_KEYS = os.environ.get("APEX_SECRET_KEYS", "")  # newest first; none: a file in the data directory
# What rotate_secrets goes through.
SEALED_FIELDS = [
    ("datasets_app.Connection", "sealed"),
    ("serving.Node", "sealed_key"),
    ("serving.Export", "sealed_secret"),
    ("providers.ProviderKey", "sealed_key"),
]
# Providers that apps above `providers` are; it imports none of them.
HOUSE_PROVIDERS = {"apex": "serving.as_provider.House"}
# Who says which of the house's models a name means for a person (`resolved(user, name) -> str`); serving imports no
# app above it.
MODEL_MEANINGS = "gateway.aliases.resolved"
# Where providers are asked in place of their own addresses, by whoever runs the house: "openai=https://…/v1,…".
PROVIDER_URLS = dict(
    pair.split("=", 1) for pair in os.environ.get("APEX_PROVIDER_URLS", "").split(",") if "=" in pair
)
REFERENCE_LIMIT_BYTES = int(os.environ.get("APEX_REFERENCE_LIMIT_GB", "0")) * 1024**3  # 0: no limit
REFERENCE_ROWS_SHOWN = 1000

# --- People -------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "training:home"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_PRESERVE_USERNAME_CASING = False
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# --- API ----------------------------------------------------------------------------------------------------
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
# So long an answer is taken to be that says nothing of it, where a budget stands.
BUDGET_ANSWER_TOKENS = int(os.environ.get("APEX_BUDGET_ANSWER_TOKENS", "4096"))
# So long what is held for something that runs stays held by a process that does not say any more that it still runs.
BUDGET_LEASE_SECONDS = float(os.environ.get("APEX_BUDGET_LEASE_SECONDS", "900"))

# --- Words and times ----------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Safety -------------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)

UNFOLD = {
    "SITE_TITLE": "Apex",
    "SITE_HEADER": "Apex",
    "SITE_SYMBOL": "school",
    "SHOW_HISTORY": True,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": os.environ.get("APEX_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        # At DEBUG they write whole addresses and headers, and those may be signed.
        "httpcore2": {"level": "INFO"},
        "httpx2": {"level": "WARNING"},
        "botocore": {"level": "INFO"},
        "faiss.loader": {"level": "WARNING"},
    },
}
