"""Requests to stores that speak S3's language, signed by botocore (SigV4) and sent by our own guard.

The signature travels in a header, so it stays behind at a redirect to another host and is in no address.
"""

from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from .base import Credentials
from .web import Ask

UNSIGNED = "UNSIGNED-PAYLOAD"


def quoted(key: str) -> str:
    """A key as S3 writes it in an address."""
    return quote(key, safe="/~")


def signed(url: str, query: dict[str, str], region: str, credentials: Credentials | None) -> Ask:
    """A GET of `url`; unsigned when there are no credentials, which public buckets accept."""
    address = f"{url}?{urlencode(query, quote_via=quote, safe='~')}" if query else url
    if credentials is None or not credentials["access_key_id"]:
        return Ask(address)
    keys = Keys(
        credentials["access_key_id"], credentials["secret_access_key"], credentials["session_token"] or None
    )
    request = AWSRequest("GET", address)
    S3SigV4Auth(keys, "s3", region).add_auth(request)
    return Ask(address, dict(request.headers.items()))
