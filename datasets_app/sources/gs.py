"""`gs://bucket/key`, with `#generation`: Google Cloud Storage by its XML door, signed with HMAC keys as for S3."""

from .base import Credentials
from .s3 import parse
from .signing import quoted, signed
from .web import Ask, WebSource

SCHEME = "gs"
SHAPE = "gs://bucket/path/letters.jsonl"
ENDPOINT = "https://storage.googleapis.com"


def open_source(uri: str, credentials: Credentials | None, *, limit: int | None = None) -> WebSource:
    address, _hash, pinned = uri.partition("#")
    bucket, key, _version = parse(address)
    endpoint = (credentials.endpoint_url if credentials else "").rstrip("/") or ENDPOINT

    def asking(version: str) -> Ask:
        return signed(
            f"{endpoint}/{bucket}/{quoted(key)}",
            {"generation": pinned} if pinned else {},
            "auto",
            credentials,
        )

    return WebSource(
        uri, key, asking, limit=limit, version_of=lambda headers: headers.get("x-goog-generation", "")
    )
