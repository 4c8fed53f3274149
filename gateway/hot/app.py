"""The ASGI callable in front of Django: `POST` to the three addresses where models answer ends here."""

from __future__ import annotations

import asyncio
import logging
import time

from apex.common.acting import Acting, acting_as
from apex.common.async_database import in_database
from gateway.hot.callers import Callers
from gateway.hot.exchange import ClientLeft, Exchange, Receive, Send
from gateway.hot.limits import Limits
from gateway.hot.question import Question
from gateway.hot.recording import Recorder
from gateway.hot.requests import KINDS, Kind
from gateway.hot.routes import Routes
from gateway.hot.upstream import Upstream
from ledger import budgets
from ledger.holding_on import RENEW_SECONDS
from serving import books
from serving.protocol import ApiError

log = logging.getLogger(__name__)

# A reader that takes nothing for so long holds up a server that others wait for.
STUCK_SECONDS = 60.0


class HotPath:
    """`site` gets all that is not ours. What is kept belongs to one event loop and is made anew for another."""

    def __init__(self, site) -> None:
        self._site = site
        self._gateway: Gateway | None = None

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kind = KINDS.get(scope["path"])
            if kind is not None and scope["method"] == "POST":
                await self._here().answer(kind, Exchange(scope, receive, send))
                return
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._site(scope, receive, send)

    def _here(self) -> Gateway:
        loop = asyncio.get_running_loop()
        if self._gateway is None or self._gateway.loop is not loop:
            self._gateway = Gateway(loop)
        return self._gateway

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's word that it begins and ends."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._gateway:
                await self._gateway.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


class Gateway:
    """All that answering needs, in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.callers, self.routes, self.limits = Callers(), Routes(), Limits()
        self.upstream, self.recorder = Upstream(), Recorder()
        self._open: set[Exchange] = set()
        self._renewing: asyncio.Task | None = None
        self._timer = loop.call_later(_until_sweep(), self._sweep)

    async def close(self) -> None:
        self._timer.cancel()
        self.upstream.close()
        await self.recorder.close()

    async def answer(self, kind: Kind, exchange: Exchange) -> None:
        """Whatever happens, the client gets an answer that it understands, unless it left."""
        question = Question(self, kind, exchange)
        self._open.add(exchange)
        address = (exchange.scope.get("client") or [""])[0]
        try:
            with acting_as(Acting(via="api", address=address)):
                await question.answer()
        except ApiError as error:
            await exchange.refuse(error)
        except ClientLeft:
            exchange.status = books.LEFT
        except asyncio.CancelledError:
            if not exchange.has_left:
                raise
            asyncio.current_task().uncancel()
            exchange.status = books.LEFT
        except Exception:
            log.exception("%s (%s) broke", kind.path, exchange.request_id)
            if not exchange.status:
                await exchange.refuse(
                    ApiError(
                        "The server had an error while processing your request "
                        f"(request {exchange.request_id}).",
                        status=500, kind="server_error",
                    )
                )  # fmt: skip
        finally:
            self._open.discard(exchange)
            exchange.end()
            question.record()

    def _sweep(self) -> None:
        now = time.monotonic()
        for exchange in list(self._open):
            if exchange.writes_since is not None and now - exchange.writes_since > STUCK_SECONDS:
                log.info("%s reads nothing for %.0f s", exchange.request_id, STUCK_SECONDS)
                exchange.leave()
        if long := [one.request_id for one in self._open if now - one.begun > RENEW_SECONDS]:
            self._renewing = self.loop.create_task(in_database(budgets.renew, long))
        self._timer = self.loop.call_later(_until_sweep(), self._sweep)


def _until_sweep() -> float:
    """Seconds; often enough for a short lease too."""
    return min(STUCK_SECONDS / 4, RENEW_SECONDS / 2 or STUCK_SECONDS)
