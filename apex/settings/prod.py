"""Behind a TLS proxy: cookies only by HTTPS, and the proxy's word on the scheme is believed."""

from apex.settings.base import *  # noqa: F403

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 30
# The proxy adds the visitor's address; without it, limits on guessing would count all visitors as one.
# Where APEX_TRUSTED_PROXIES names the proxy, uvicorn has put that address into REMOTE_ADDR already.
ALLAUTH_TRUSTED_PROXY_COUNT = 0 if TRUSTED_PROXIES else 1  # noqa: F405
