"""E-mail: off until a server is named. Its password comes from the environment and is written nowhere."""

import os

EMAIL_HOST = os.environ.get("APEX_EMAIL_HOST", "").strip()
# Without it nothing is mailed, and no page offers it.
MAIL_IS_SET_UP = bool(EMAIL_HOST)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if MAIL_IS_SET_UP else 'console'}.EmailBackend"
EMAIL_USE_SSL = os.environ.get("APEX_EMAIL_USE_SSL", "") == "1"
EMAIL_USE_TLS = not EMAIL_USE_SSL and (os.environ.get("APEX_EMAIL_USE_TLS") or "1") == "1"
EMAIL_PORT = int(os.environ.get("APEX_EMAIL_PORT") or (465 if EMAIL_USE_SSL else 587))
EMAIL_HOST_USER = os.environ.get("APEX_EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("APEX_EMAIL_HOST_PASSWORD", "")
EMAIL_TIMEOUT = 20  # seconds, for each step
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("APEX_EMAIL_FROM") or "Apex <apex@localhost>"

# What is mailed about a notice is tried so often, with these pauses in seconds between; the row says how it stands.
MAIL_PAUSES = (60, 300, 900, 3600, 4 * 3600, 12 * 3600)
MAIL_SILENT_SECONDS = 600  # then whoever was sending it is taken for gone
MAILS_A_DAY = 20  # to one person; the bell has all of them
MAIL_SWEEP_SECONDS = 60.0


def site_url() -> str:
    """Where people reach the site, for links in what is sent to them: `APEX_SITE_URL`, else the first origin."""
    own = f"http://localhost:{os.environ.get('APEX_PORT') or 8000}"
    given = [os.environ.get("APEX_SITE_URL", ""), *os.environ.get("APEX_TRUSTED_ORIGINS", "").split(",")]
    return next((url.strip().rstrip("/") for url in given if url.strip() and "*" not in url), own)


SITE_URL = site_url()
