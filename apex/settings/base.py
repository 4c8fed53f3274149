"""Settings that hold everywhere. What a person may set comes from the environment (docs/operations.md)."""

import contextlib
import os
import secrets
import tempfile

from django.utils.translation import gettext_lazy as _

from apex.settings.api import *  # noqa: F403
from apex.settings.data import *  # noqa: F403
from apex.settings.data import BASE_DIR, DATA_DIR
from apex.settings.mail import *  # noqa: F403
from apex.settings.mail import MAILS_A_DAY
from apex.settings.servers import *  # noqa: F403
from apex.settings.work import *  # noqa: F403


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

# --- What rooms ask of rooms above them -------------------------------------------------------------------------
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
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no e-mail to an address that is in no profile
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_FORMS = {
    "login": "accounts.forms.LoginForm",
    "signup": "accounts.forms.SignupForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
}
# allauth's own, and no more in a day: anybody may have written a stranger's address into their profile.
ACCOUNT_RATE_LIMITS = {"reset_password": f"20/m/ip,5/m/key,{MAILS_A_DAY}/d/key"}
ACCOUNT_PRESERVE_USERNAME_CASING = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

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
