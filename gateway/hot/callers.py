"""Who calls: tokens as they stood in the database less than a second ago."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from django.utils import timezone
from knox.crypto import hash_token

from accounts.models import ApiToken, Scope, User
from apex.common.acting import Acting, acting, acting_as
from apex.common.async_database import in_database
from gateway.auth import incorrect_key, missing_key, missing_scope
from gateway.hot.fresh import Fresh
from ledger import counting
from ledger.minutes import everybodys, limits_of
from minions.models import MinionToken
from minions.services import note_use, tokens_with

# A revoked token stops working within a second: the look-up itself takes some of it.
SOFT_SECONDS, HARD_SECONDS = 0.5, 0.8
# Anything longer is no token of ours and not worth hashing.
LONGEST_TOKEN = 200
MOST_DIGESTS = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """A token's user and what the token may do. `models` None: all that its user may ask.

    `budgets`: what is counted by the budgets that hold for it, of which most people have none.
    `token_requests` is how many questions a minute the token may ask, beside what its user may; 0: no limit of its own.
    With `minion_id` it is that minion's own token, and opens nothing else.
    """

    user: User
    token_id: str
    scopes: frozenset[str]
    models: frozenset[str] | None
    expires_at: float | None
    requests_per_minute: int
    tokens_per_minute: int
    budgets: frozenset[str] = frozenset()
    minion_id: uuid.UUID | None = None
    minion_name: str = ""
    token_requests: int = 0


class Callers:
    """Finds callers by the `Authorization` header."""

    def __init__(self) -> None:
        self._fresh: Fresh[str, Caller] = Fresh(self._load, soft=SOFT_SECONDS, hard=HARD_SECONDS)
        self._digests: dict[bytes | None, str] = {}  # hashing takes longer than looking it up
        self._addresses: dict[str, str] = {}  # from where a digest was last used, until it is looked up

    async def _load(self, digests: list[str]) -> dict[str, Caller | Exception]:
        used_from = {digest: self._addresses.pop(digest, "") for digest in digests}
        return await in_database(_callers, used_from)

    def _digest(self, header: bytes | None) -> str:
        digest = hash_token(_token(header))
        if len(self._digests) > MOST_DIGESTS:
            self._digests.clear()
        self._digests[header] = digest
        return digest

    async def of(self, header: bytes | None, scope: str) -> Caller:
        """Raises ApiError: 401 without a good token, 403 where it lacks `scope`."""
        digest = self._digests.get(header) or self._digest(header)
        self._addresses[digest] = acting().address
        caller = self._fresh.peek(digest) or await self._fresh.get(digest)
        if caller is None or (caller.expires_at is not None and time.time() >= caller.expires_at):
            self._digests.pop(header, None)
            raise incorrect_key(_token(header))
        if scope not in caller.scopes:
            raise missing_scope(scope)
        return caller


def _token(header: bytes | None) -> str:
    if header is None:
        raise missing_key()
    kind, _, token = header.partition(b" ")
    token = token.strip()
    if kind.lower() != b"bearer" or not token:
        raise missing_key()
    text = token.decode("latin-1")
    if len(text) > LONGEST_TOKEN:
        raise incorrect_key(text)
    return text


def _callers(used_from: dict[str, str]) -> dict[str, Caller | Exception]:
    """Who has the tokens with these digests; that they are used, from these addresses, is noted."""
    tokens = ApiToken.objects.filter(digest__in=used_from, user__is_active=True).select_related("user")
    found: dict[str, Caller | Exception] = {}
    tokens = list(tokens)
    counters = counting.counters_of({token.user_id for token in tokens})
    most = everybodys()
    for token in tokens:
        if token.expiry and token.expiry <= timezone.now():
            continue
        user = token.user
        # Several requests are looked up at once: whoever acts is not whose look-up this happens to be.
        with acting_as(Acting("api", used_from[token.digest], user, token.public_id)):
            token.note_use()
        found[token.digest] = Caller(
            user=user,
            token_id=str(token.public_id),
            scopes=frozenset(token.scopes),
            models=frozenset(token.model_names) if token.model_names else None,
            expires_at=token.expiry.timestamp() if token.expiry else None,
            **questions_of(user, most),
            budgets=frozenset(
                counter.budget.measure
                for counter in counters
                if counter.owner_id == user.pk and counting.concerns(counter, token.public_id, None)
            ),
            token_requests=token.requests_per_minute or 0,
        )
    if missing := [digest for digest in used_from if digest not in found]:
        for token in tokens_with(missing):
            with acting_as(Acting("api", used_from[token.digest], token.minion.owner, token.pk)):
                note_use(token)
            found[token.digest] = _minions_caller(token, most)
    return found


def _minions_caller(token: MinionToken, most: dict[str, int]) -> Caller:
    user = token.minion.owner
    return Caller(
        user=user,
        token_id=str(token.pk),
        scopes=frozenset({Scope.CHAT}),
        models=None,
        expires_at=None,
        **questions_of(user, most),
        minion_id=token.minion_id,
        minion_name=token.minion.name,
    )


def questions_of(user: User, most: dict[str, int]) -> dict[str, int]:
    limits = limits_of(user, most)
    return {field: limits[field] for field in ("requests_per_minute", "tokens_per_minute")}
