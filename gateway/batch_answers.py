"""One question of a batch, answered as its endpoint would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async

from gateway import aliases
from gateway.auth import model_not_allowed
from gateway.hot.refusals import retold
from gateway.hot.requests import KINDS, Body
from ledger import budgets
from ledger.models import Reservation
from ledger.money import TokenPrice
from ledger.prices import own_price
from ledger.refusals import BudgetSpent
from serving import books, services
from serving.backends.base import AnswerBroke, Backend, BackendUnavailable, Target
from serving.protocol import ApiError
from serving.protocol.values import model_name

# A model may be pushed out by others between loading it and asking it; that often in a row it is no chance.
ROUNDS = 3


class Later(Exception):
    """What should answer cannot just now; asking again later may help."""


class Held(Later):
    """Its budget would be enough but for what others hold of it just now; `refusal` is for who waits no longer."""

    def __init__(self, refusal: Answered):
        super().__init__(refusal.body["error"]["message"])
        self.refusal = refusal


@dataclass(frozen=True)
class Answered:
    """What a single call would have got: status and body; `lineage` and `price` where a model was found for it.

    `held` is for whoever writes down what it took.
    """

    status: int
    body: dict[str, Any]
    lineage: dict[str, str] = field(default_factory=dict)
    price: TokenPrice | None = None
    held: Reservation | None = None

    @property
    def is_good(self) -> bool:
        return self.status == 200

    @property
    def error(self) -> str:
        """The code of a refusal; empty where it is none."""
        told = {} if self.is_good else self.body["error"]
        return told.get("code") or told.get("type") or ""


def refused(error: ApiError, lineage: dict[str, str] | None = None) -> Answered:
    return Answered(error.status, error.body(), lineage or {})


async def answer(
    *, user, endpoint: str, body: dict[str, Any], model_names: Sequence[str] = (), token_id=None
) -> Answered:
    """The answer or the refusal. Raises `Later` where nobody could answer yet, `Held` where what runs has to end first.

    `model_names`: those that may be asked; none named: all that the user may.
    """
    lineage: dict[str, str] = {}
    try:
        asked = model_name(body)
        target = await services.resolve_model(
            user=user, model_id=await sync_to_async(aliases.resolved)(user, asked)
        )
        if model_names and asked not in model_names and target.model_id not in model_names:
            raise model_not_allowed(asked)
        lineage = target.lineage
        price = await sync_to_async(own_price)(target.base_name)
        held = Holding(user, token_id, price)
        said = await answered_by(target, endpoint, body, asked, held)
        return Answered(200, said, lineage, price, held.reservation)
    except BudgetSpent as problem:
        if problem.is_passing:
            raise Held(refused(problem, lineage)) from problem
        return refused(problem, lineage)
    except (BackendUnavailable, AnswerBroke) as problem:
        raise Later(problem.message) from problem
    except ApiError as problem:
        if problem.status in (429, 503):
            raise Later(problem.message) from problem
        return refused(problem, lineage)


class Holding:
    """What is held for one answer until that is written down; nothing, where there is no answer."""

    def __init__(self, user, token_id, price: TokenPrice | None):
        self._user, self._token_id, self._price = user, token_id, price
        self.reservation: Reservation | None = None

    async def begin(self, request: Any, size: int, what: str) -> None:
        """Raises BudgetSpent."""
        most = books.most_of(request, size, self._price)
        hold = sync_to_async(books.hold)
        self.reservation = await hold(self._user, most, token_id=self._token_id, what=what)

    async def give_back(self) -> None:
        await sync_to_async(budgets.release)(self.reservation)


async def answered_by(
    target: Target, endpoint: str, given: dict[str, Any], asked: str, held: Holding
) -> dict[str, Any]:
    """The body of a good answer; what is sent is what the hot path would send."""
    backend, kind = services.backend_for(target), KINDS[endpoint]
    body = Body(json.dumps(given).encode())
    request = body.parsed(kind, backend.abilities)
    if getattr(request, "stream", False):
        raise ApiError(
            "A batch answers in a file, so `stream` cannot be true.", param="stream", code="invalid_value"
        )
    await held.begin(request, body.size, f"batch {asked}")
    sent = json.loads(
        body.outgoing(kind, request, json.dumps(target.loaded_name).encode(), backend.abilities)
    )
    try:
        return storable(await said_by(backend, target, endpoint, sent)) | {"model": asked}
    except BaseException as error:
        await held.give_back()
        if isinstance(error, ApiError):
            raise retold(error, kind, target=target, asked=asked) from error
        raise


async def said_by(backend: Backend, target: Target, endpoint: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Loads only what turns out to be missing."""
    for is_last in (*[False] * (ROUNDS - 1), True):
        try:
            reply = await backend.forward(endpoint, sent)
            return json.loads(await reply.read())
        except ApiError as error:
            if error.code != "model_not_found" or is_last:
                raise
        await backend.ensure_loaded(target)
    raise AssertionError("not reached")


def storable(said: Any) -> Any:
    """The same without what no database keeps in a text: U+0000, and halves of surrogate pairs."""
    if isinstance(said, str):
        return said.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if isinstance(said, list):
        return [storable(one) for one in said]
    if isinstance(said, dict):
        return {storable(name): storable(one) for name, one in said.items()}
    return said
