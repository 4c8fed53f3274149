"""How many questions a minion takes in a minute, from everywhere together."""

from __future__ import annotations

import asyncio
import math

from django.utils.translation import gettext as _

from apex.common import rates
from apex.common.refusals import ApiError
from minions.models import Minion


class TooManyQuestions(ApiError):
    """Its minute is used up; `retry_after` seconds are left of it."""

    def __init__(self, limit: int, retry_after: int):
        super().__init__(
            _("This minion takes %(limit)d questions a minute. Ask again in %(left)d s.")
            % {"limit": limit, "left": retry_after},
            status=429, kind="requests", code="rate_limit_exceeded",
        )  # fmt: skip
        self.retry_after = retry_after


async def take(minion: Minion) -> None:
    """Counts one question. Raises TooManyQuestions; a cache that is away stops nobody."""
    if not minion.requests_per_minute:
        return
    count = await asyncio.to_thread(rates.count, f"minion:{minion.pk}")
    if count is not None and count.used > minion.requests_per_minute:
        raise TooManyQuestions(minion.requests_per_minute, max(1, math.ceil(count.left)))
