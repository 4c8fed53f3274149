"""One HTTP/1.1 connection to a server that answers: bytes out, a parser's events in, one answer at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools

from gateway.hot.answers import Answer, Away, BrokeOff

if TYPE_CHECKING:
    from gateway.hot.upstream import Pool

# Shorter than the 5 s after which uvicorn (vLLM, too) hangs up: the other order loses a request now and then.
KEEP_SECONDS = 4.0
# Bytes of an answer that wait for a slow reader, before the server is held up too.
READ_AHEAD = 256 * 1024


class Connection(asyncio.Protocol):
    """One connection, with one answer at a time."""

    def __init__(self, pool: Pool):
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_open = True
        self._is_paused = False
        self._ends_by_closing = False
        self.touched_at = 0.0  # when something last went or came

    def ask(self, head: bytes, body: bytes) -> Answer:
        self._answer = answer = Answer(self)
        self._ends_by_closing = False
        self.touched_at = self._loop.time()
        self._transport.writelines((head, body))
        return answer

    @property
    def is_usable(self) -> bool:
        """Open, and the server will not have hung up yet."""
        return self._is_open and self._loop.time() - self.touched_at < KEEP_SECONDS

    def go_on(self) -> None:
        if self._is_paused and self._is_open:
            self._is_paused = False
            self._transport.resume_reading()

    def hang_up(self, problem: Exception | None = None) -> None:
        self._lost(problem or BrokeOff("hung up"))
        if self._is_open:
            self._is_open = False
            self._transport.abort()

    # --- told by the loop -------------------------------------------------------------------------------------

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.touched_at = self._loop.time()
        answer = self._answer
        if answer is None:  # nobody asked: such a server cannot be trusted with the next question
            self.hang_up()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.hang_up(BrokeOff(f"no HTTP: {error}"))
            return
        if self._answer is not None:
            if answer._size > READ_AHEAD and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            answer._wake()

    def eof_received(self) -> bool:
        if self._ends_by_closing and self._answer:
            self.on_message_complete()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._is_open = False
        self._pool.forget(self)
        self._lost(BrokeOff(f"the connection was lost: {problem or 'the other end closed it'}"))

    def _lost(self, problem: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer:
            self._pool.busy.discard(self)
            answer._ended(problem if answer.status else Away(str(problem)))

    # --- told by the parser -----------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer:
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "100 Continue" and the like come before the answer
            self._answer.headers.clear()
            return
        self._answer.status = status
        headers = self._answer.headers
        self._ends_by_closing = b"content-length" not in headers and b"transfer-encoding" not in headers

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if answer:
            answer._pieces.append(body)
            answer._size += len(body)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or not answer.status:
            return
        self._answer = None
        self.go_on()
        if self._parser.should_keep_alive() and not self._ends_by_closing and self._is_open:
            self._pool.free(self)
        else:
            self._pool.busy.discard(self)
            self._is_open = False
            self._transport.close()
        answer._ended(None)
