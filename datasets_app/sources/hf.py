"""`hf://datasets/OWNER/NAME[@revision]/path`: a file of a dataset on the Hugging Face hub."""

import re
from urllib.parse import quote, unquote

from django.conf import settings
from django.utils.translation import gettext as _

from .base import Credentials, SourceRefused
from .web import Ask, WebSource

SCHEME = "hf"
SHAPE = "hf://datasets/owner/name/path/letters.jsonl"
HUB = "https://huggingface.co"
ADDRESS = re.compile(r"hf://datasets/([\w.-]+)/([\w.-]+)(?:@([^/]+))?/(.+)", re.ASCII)


def open_source(uri: str, credentials: Credentials | None, *, limit: int | None = None) -> WebSource:
    """The branch is turned into the commit that it means, so that one reading reads one commit."""
    found = ADDRESS.fullmatch(uri)
    if not found or {".", ".."} & {found[1], found[2], *unquote(found[4]).split("/")}:
        raise SourceRefused(_("Write an address of the hub as %(shape)s.") % {"shape": SHAPE})
    owner, name, revision, path = found[1], found[2], unquote(found[3] or "main"), unquote(found[4])
    hub = (credentials.endpoint_url if credentials else "") or settings.HUB_ENDPOINT or HUB
    token = credentials["token"] if credentials else ""

    def asking(commit: str) -> Ask:
        url = f"{hub.rstrip('/')}/datasets/{owner}/{name}/resolve/{quote(commit or revision, safe='')}/{quote(path)}"
        return Ask(url, {"Authorization": f"Bearer {token}"} if token else {})

    return HubSource(
        uri, path, asking, limit=limit, version_of=lambda headers: headers.get("x-repo-commit", "")
    )


class HubSource(WebSource):
    """The hub says what the file is when it passes us on to where the bytes are, so the mark is taken there."""

    def state_of(self, answer):
        state = super().state_of(answer)
        for headers in answer.passed:
            etag = headers.get("x-linked-etag") or headers.get("etag") or ""
            version = headers.get("x-repo-commit", "")
            if etag or version:
                return type(state)(
                    etag.removeprefix("W/")[:300] or state.mark,
                    state.size,
                    version or state.version,
                    state.is_seekable,
                )
        return state
