"""`https://host/path/file.jsonl`: the web, with a token for one host where a connection holds one."""

from django.utils.translation import gettext as _

from apex.common.fetch import FetchRefused, check_url

from .base import Credentials, SourceRefused
from .web import Ask, WebSource

SCHEME = "https"
SHAPE = "https://host/path/letters.jsonl"


def open_source(uri: str, credentials: Credentials | None, *, limit: int | None = None) -> WebSource:
    """The connection's token goes to the host that the connection names, and to no other."""
    try:
        place = check_url(uri)
    except FetchRefused as problem:
        raise SourceRefused(str(problem)) from problem
    headers: dict[str, str] = {}
    if credentials is not None:
        try:
            home = check_url(credentials.endpoint_url)
        except FetchRefused as problem:
            raise SourceRefused(str(problem)) from problem
        if home.origin != place.origin:
            raise SourceRefused(
                _("This connection is for %(home)s, the address leads to %(host)s; its token stays at home.")
                % {"home": home.authority, "host": place.authority}
            )
        headers["Authorization"] = f"Bearer {credentials['token']}"
    name = place.target.split("?", 1)[0]
    return WebSource(uri, name if name != "/" else place.host, lambda version: Ask(uri, headers), limit=limit)
