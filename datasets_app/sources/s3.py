"""`s3://bucket/key`, with `?versionId=…` for one version: Amazon's, or a store of one's own by its address."""

import re
from urllib.parse import parse_qs, unquote, urlsplit

from django.utils.translation import gettext as _

from .base import Credentials, SourceFailed, SourceRefused, State
from .signing import quoted, signed
from .web import LOOKING, Ask, WebSource

SCHEME = "s3"
SHAPE = "s3://bucket/path/letters.jsonl"
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
REGION = re.compile(r"[a-z0-9-]{2,40}")
DEFAULT_REGION = "us-east-1"


class S3Source(WebSource):
    """Asks again in the bucket's own region when the store names it."""

    def __init__(self, uri: str, credentials: Credentials | None, *, limit: int | None) -> None:
        self.bucket, self.key, self.version_id = parse(uri)
        self.credentials = credentials
        self.endpoint = credentials.endpoint_url.rstrip("/") if credentials else ""
        self.region = (credentials.region if credentials else "") or DEFAULT_REGION
        super().__init__(uri, self.key, self.ask, limit=limit, version_of=version_of)

    def ask(self, version: str) -> Ask:
        # Not held to `version`: to ask for a version by its id takes a permission that readers often lack. That
        # the content stays the same is seen by its ETag.
        query = {"versionId": self.version_id} if self.version_id else {}
        return signed(self.address(), query, self.region, self.credentials)

    def address(self) -> str:
        if self.endpoint:
            return f"{self.endpoint}/{self.bucket}/{quoted(self.key)}"
        if "." in self.bucket or "_" in self.bucket:  # such names fit no certificate
            return f"https://s3.{self.region}.amazonaws.com/{self.bucket}/{quoted(self.key)}"
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com/{quoted(self.key)}"

    def ask_state(self) -> State:
        try:
            return super().ask_state()
        except SourceFailed:
            region = "" if self.endpoint else self.region_told()
            if not region:
                raise
            self.region = region
            return super().ask_state()

    def region_told(self) -> str:
        """The bucket's region, where the store says that it is another one."""
        with self.asked("", (0, 0), LOOKING) as answer:
            region = answer.headers.get("x-amz-bucket-region", "")
            if answer.status < 300 or region == self.region or not REGION.fullmatch(region):
                return ""
            return region


def open_source(uri: str, credentials: Credentials | None, *, limit: int | None = None) -> S3Source:
    return S3Source(uri, credentials, limit=limit)


def parse(uri: str) -> tuple[str, str, str]:
    """Bucket, key and version (or nothing). Raises SourceRefused."""
    try:
        parts = urlsplit(uri)
    except ValueError as problem:
        raise SourceRefused(_("This is no valid address.")) from problem
    bucket, key = parts.netloc, unquote(parts.path.lstrip("/"))
    if parts.fragment:  # no part of an address here, but S3 keys may hold a #
        key = f"{key}#{unquote(parts.fragment)}"
    if not BUCKET.fullmatch(bucket):
        raise SourceRefused(
            _("“%(bucket)s” is no name of a bucket; write it as %(shape)s.")
            % {"bucket": bucket[:80], "shape": SHAPE}
        )
    if not key or key.endswith("/"):
        raise SourceRefused(_("The address names no file; write it as %(shape)s.") % {"shape": SHAPE})
    return bucket, key, parse_qs(parts.query).get("versionId", [""])[0]


def version_of(headers: dict[str, str]) -> str:
    """Buckets without versions say nothing, or “null”."""
    found = headers.get("x-amz-version-id", "")
    return "" if found == "null" else found
