"""Keeps what is held for something that may go on in an event loop for longer than a lease."""

from __future__ import annotations

import asyncio
import logging
import uuid

from apex.common.async_database import in_database
from ledger import budgets
from ledger.models import Reservation

log = logging.getLogger(__name__)

RENEW_SECONDS = budgets.LEASE.total_seconds() / 2


def a_subject(what: str) -> str:
    """A name under which one reservation is found again; `what` tells people what it is for."""
    return f"{what}-{uuid.uuid4().hex}"


class HoldingOn:
    """From `begin` to `end` the reservation is not given back, however long that is. One that holds nothing costs
    nothing. Whoever reads slowly would else get it back, and could ask for more."""

    def __init__(self, reservation: Reservation):
        self._subject = reservation.subject if reservation.holds else None
        self._timer: asyncio.TimerHandle | None = None
        self._renewed: asyncio.Future | None = None

    def begin(self) -> None:
        if self._subject is not None:
            self._timer = asyncio.get_running_loop().call_later(RENEW_SECONDS, self._renew)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _renew(self) -> None:
        self._renewed = asyncio.ensure_future(in_database(budgets.renew, [self._subject]))
        self._renewed.add_done_callback(_look_at)
        self.begin()


def _look_at(renewed: asyncio.Future) -> None:
    if not renewed.cancelled() and (problem := renewed.exception()):
        log.warning("what is held for an answer could not be held on, and may be given back: %s", problem)
