"""What a connection is worth, asked of its store without a file: do its credentials open anything?"""

from collections.abc import Callable

from django.conf import settings
from django.utils.translation import gettext as _

from apex.common.fetch import FetchError, Limits, open_url

from . import gs, hf, s3
from .base import Credentials, SourceFailed
from .signing import signed
from .web import Ask, code_of, raise_for_status

QUICK = Limits(connect=10, read=15, total=20)
# The store knows the keys, they may only not list what there is; a single file may still be theirs to read.
KNOWN_BUT_NARROW = {"AccessDenied", "AccountProblem", "UserProjectMissing"}


def probe(credentials: Credentials) -> str:
    """A sentence of what works. Raises SourceError that says what does not."""
    return PROBES[credentials.kind](credentials)


def probe_web(credentials: Credentials) -> str:
    status = ask(Ask(credentials.endpoint_url, {"Authorization": f"Bearer {credentials['token']}"}), {404})
    if status == 404:
        return _("The host answers, and does not refuse the token. Try it with the address of a file.")
    return _("The host answers and accepts the token.")


def probe_s3(credentials: Credentials) -> str:
    home = (
        credentials.endpoint_url.rstrip("/")
        or f"https://s3.{credentials.region or s3.DEFAULT_REGION}.amazonaws.com"
    )
    return probe_store(signed(f"{home}/", {}, credentials.region or s3.DEFAULT_REGION, credentials))


def probe_gs(credentials: Credentials) -> str:
    home = credentials.endpoint_url.rstrip("/") or gs.ENDPOINT
    return probe_store(signed(f"{home}/", {}, "auto", credentials))


def probe_store(asking: Ask) -> str:
    if ask(asking, {403}) == 403:
        return _(
            "The store knows these keys; they may not list its buckets. Try them with the address of a file."
        )
    return _("The store accepts these keys.")


def probe_hf(credentials: Credentials) -> str:
    home = (credentials.endpoint_url or settings.HUB_ENDPOINT or hf.HUB).rstrip("/")
    ask(Ask(f"{home}/api/whoami-v2", {"Authorization": f"Bearer {credentials['token']}"}), set())
    return _("The hub knows this token.")


def ask(asking: Ask, accepted: set[int]) -> int:
    """The status of an answer that is good or `accepted`; of a 403 only one that knows the keys is."""
    try:
        with open_url(asking.url, headers=asking.headers, limits=QUICK, max_bytes=2**20) as answer:
            code = code_of(answer) if answer.status == 403 else None
            if answer.status in accepted and (answer.status != 403 or code in KNOWN_BUT_NARROW):
                return answer.status
            raise_for_status(answer, code)
            return answer.status
    except FetchError as problem:
        raise SourceFailed(str(problem)) from problem


PROBES: dict[str, Callable[[Credentials], str]] = {
    "https": probe_web,
    "s3": probe_s3,
    "gs": probe_gs,
    "hf": probe_hf,
}
