"""Where the bytes of a reference come from: one module a scheme, all that leave this machine by `apex.common.fetch`.

Each module has `SCHEME`, `SHAPE` (an example for people) and
`open_source(uri, credentials: Credentials | None, *, limit: int | None) -> Source`, where a source is what
`datasets_app.reading` reads (`name`, `size`, `is_seekable`, `open()`), with a `state()` to compare and the
`sha256` of what was read. One address is one file: no lists, no patterns, no chains of protocols.
"""

from types import ModuleType

from django.utils.translation import gettext as _

from . import file, gs, hf, https, s3
from .base import (
    Credentials,
    Source,
    SourceChanged,
    SourceError,
    SourceFailed,
    SourceRefused,
    State,
    scheme_of,
)

SCHEMES: dict[str, ModuleType] = {"https": https, "http": https, "s3": s3, "gs": gs, "hf": hf, "file": file}
LONGEST_URI = 2000


def open_source(uri: str, credentials: Credentials | None = None, *, limit: int | None = None) -> Source:
    """The source of an address. Asks nobody yet. Raises SourceRefused where it cannot be one."""
    if len(uri) > LONGEST_URI:
        raise SourceRefused(_("The address is longer than %(limit)s characters.") % {"limit": LONGEST_URI})
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        shapes = ", ".join(module.SHAPE for module in dict.fromkeys(SCHEMES.values()))
        raise SourceRefused(
            _("“%(scheme)s” is no kind of address that can be read. Known are: %(shapes)s.")
            % {"scheme": (scheme or uri)[:40], "shapes": shapes}
        )
    module = SCHEMES[scheme]
    if credentials is not None and credentials.kind != module.SCHEME:
        raise SourceRefused(
            _(
                "This connection is for %(kind)s://, the address begins with %(scheme)s://. Choose another one."
            )
            % {"kind": credentials.kind, "scheme": scheme}
        )
    return module.open_source(uri, credentials, limit=limit)


__all__ = [
    "SCHEMES",
    "Credentials",
    "Source",
    "SourceChanged",
    "SourceError",
    "SourceFailed",
    "SourceRefused",
    "State",
    "open_source",
    "scheme_of",
]
