"""For unit tests: cheap password hashes, plain static files; the broker and workers are real in tests/flows."""

import atexit
import os
import shutil
import tempfile

# With pytest -n each process of pytest has a directory of its own; what a test starts uses its test's.
pytest_process = os.environ.get("PYTEST_XDIST_WORKER", "")
if "APEX_DATA_DIR" not in os.environ or os.environ.get("APEX_TEST_PROCESS", "") != pytest_process:
    os.environ["APEX_TEST_PROCESS"] = pytest_process
    os.environ["APEX_DATA_DIR"] = tempfile.mkdtemp(prefix="apex-test-")
    atexit.register(shutil.rmtree, os.environ["APEX_DATA_DIR"], ignore_errors=True)

from apex.settings.base import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CACHES = dict.fromkeys(("default", "counts"), {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"})
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
MAIL_IS_SET_UP = False
ACCOUNT_RATE_LIMITS = False
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file, as in real life: several threads, each with a connection of its own.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}  # noqa: F405
