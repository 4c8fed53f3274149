"""All answers of one base, a token of each in one pass; they join and leave between two tokens.

Adapters, and the base itself, are mixed as they come (`lora.py`). Answers in a batch are those that each would get
alone, except where two tokens are as good as equally likely: other shapes sum in another order, which moves a
log-probability in float32 by about 1e-5 nats and never by more than 1e-3 in our tests.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch

from serving.embedded.cache import RowCache

if TYPE_CHECKING:
    from serving.embedded.base import LoadedBase
    from serving.embedded.generation import Answer, Piece

# Prompts are read in pieces of so many tokens, short ones together, so that the answers beside them keep flowing.
PROMPT_PIECE = 512
# Where the prompt's own probabilities are wanted: so many logits at once.
MOST_LOGITS = 2**25
# An answer joins where there is room for so many tokens more of each, so that it is not put aside at once.
HEADROOM = 64

Given = list[tuple["Answer", "Piece | Exception"]]


class Batch:
    """Answers wait for room, read their prompt, then write. Room is counted in tokens: rows times the longest."""

    def __init__(self, base: LoadedBase):
        self._base = base
        self._waiting: deque[Answer] = deque()
        self._reading: deque[Answer] = deque()
        self._writing: list[Answer] = []
        self._rows = RowCache()

    def add(self, answer: Answer) -> None:
        self._waiting.append(answer)

    def remove(self, answer: Answer) -> None:
        """Frees its place; nothing happens where it has none."""
        if answer in self._writing:
            self._stop_writing(answer)
        for queue in (self._waiting, self._reading):
            if answer in queue:
                queue.remove(answer)

    def step(self) -> Given:
        """A token of each answer that writes, and the next piece of those that still read.

        With the last piece of an answer, or the exception that ended it, it has left the batch.
        """
        with torch.inference_mode():
            self._put_aside()
            self._let_in()
            return [*self._write(), *self._read()]

    def _let_in(self) -> None:
        while self._waiting:
            here = [*self._reading, *self._writing]
            widest = max(len(answer.token_ids) for answer in [self._waiting[0], *here]) + HEADROOM
            if here and (len(here) + 1) * widest > self._base.room:
                return
            self._reading.append(self._waiting.popleft())

    def _put_aside(self) -> None:
        """Those that came last read everything again later, so that the longest can go on."""
        while self._writing:
            here = [*self._reading, *self._writing]
            if len(here) == 1 or len(here) * (self._rows.width + 1) <= self._base.room:
                return
            latest = max(self._writing, key=lambda answer: answer.number)
            self._stop_writing(latest)
            latest.read, latest.cache = 0, None
            self._waiting.appendleft(latest)

    def _write(self) -> Given:
        answers = list(self._writing)
        if not answers:
            return []
        try:
            logits = self._next_logits(answers)
        # Keys and values are half written now, so all of them end.
        except Exception as error:
            for answer in answers:
                self._stop_writing(answer)
            return [(answer, error) for answer in answers]
        for answer in answers:
            answer.read += 1
        given = self._take(answers, logits)
        for answer, piece in given:
            if isinstance(piece, Exception) or piece.end:
                self._stop_writing(answer)
        return given

    def _next_logits(self, answers: list[Answer]) -> torch.Tensor:
        if not self._base.is_shared:
            return torch.cat([self._run([answer], answer.unread, answer.cache)[-1:] for answer in answers])
        mask = self._rows.mask(self._base.device)
        positions = None if mask is None else self._tensor([[length] for length in self._rows.lengths])
        ids = self._tensor([answer.unread for answer in answers])
        logits = self._base.run(ids, self._rows, _keys(answers), mask=mask, positions=positions)
        self._rows.grow()
        return logits[:, -1]

    def _read(self) -> Given:
        if not self._reading:
            return []
        group = self._next_to_read()
        try:
            logits = self._read_alone(group[0]) if self._goes_alone(group[0]) else self._read_together(group)
        except Exception as error:
            for answer in group:
                self._reading.remove(answer)
            return [(answer, error) for answer in group]
        if logits is None:
            self._reading.rotate(-1)
            return []
        given = self._take(group, logits)
        for row, (answer, piece) in enumerate(given):
            self._reading.remove(answer)
            if not isinstance(piece, Exception) and not piece.end:
                self._start_writing(answer, row)
            elif self._base.is_shared:
                answer.cache = None
        return given

    def _next_to_read(self) -> list[Answer]:
        """The next in order, and with it those that can be read in the same pass."""
        first = self._reading[0]
        if self._goes_alone(first):
            return [first]
        group: list[Answer] = []
        longest = 0
        for answer in self._reading:
            longest = max(longest, len(answer.unread))
            if self._goes_alone(answer) or (len(group) + 1) * longest > PROMPT_PIECE:
                break
            group.append(answer)
        return group

    def _goes_alone(self, answer: Answer) -> bool:
        return (
            not self._base.is_shared
            or answer.wants_prompt_scores
            or answer.read > 0
            or len(answer.unread) > PROMPT_PIECE
        )

    def _read_alone(self, answer: Answer) -> torch.Tensor | None:
        """Logits (1, vocabulary) when this was the last piece."""
        size = PROMPT_PIECE
        if answer.wants_prompt_scores:
            size = max(1, min(size, MOST_LOGITS // self._base.vocabulary))
        piece = answer.unread[:size]
        if answer.cache is None:
            answer.cache = self._base.new_cache()
        logits = self._run([answer], piece, answer.cache, is_whole=answer.wants_prompt_scores)
        if answer.wants_prompt_scores:
            answer.score_prompt(logits, answer.read)
        answer.read += len(piece)
        return None if answer.unread else logits[-1:]

    def _read_together(self, answers: list[Answer]) -> torch.Tensor:
        """Logits (answers, vocabulary); each answer has the cache of all."""
        ids = [answer.unread for answer in answers]
        longest = max(map(len, ids))
        cache, mask, positions = self._base.new_cache(), None, None
        if any(len(row) < longest for row in ids):
            lengths = self._tensor([len(row) for row in ids])[:, None]
            columns = torch.arange(longest, device=self._base.device)[None, :]
            mask = columns >= longest - lengths
            positions = (columns - (longest - lengths)).clamp(min=0)
        padded = self._tensor([[0] * (longest - len(row)) + row for row in ids])
        logits = self._base.run(padded, cache, _keys(answers), mask=mask, positions=positions)
        for answer in answers:
            answer.read, answer.cache = len(answer.token_ids), cache
        return logits[:, -1]

    def _run(self, answers: list[Answer], piece: list[int], cache, *, is_whole: bool = False) -> torch.Tensor:
        """Logits (tokens, vocabulary) of one answer: of the last token, or of all of them."""
        return self._base.run(self._tensor([piece]), cache, _keys(answers), is_whole=is_whole)[0]

    def _take(self, answers: list[Answer], logits: torch.Tensor) -> Given:
        best = logits.argmax(-1).tolist()
        given: Given = []
        for answer, row, likeliest in zip(answers, logits, best, strict=True):
            try:
                given.append((answer, answer.take(row, likeliest)))
            # What cannot be sampled or decoded is this answer's alone.
            except Exception as error:
                given.append((answer, error))
        return given

    def _start_writing(self, answer: Answer, row: int) -> None:
        if self._base.is_shared:
            self._rows.add_row(answer.cache, row, answer.read)
            answer.cache = None
        self._writing.append(answer)

    def _stop_writing(self, answer: Answer) -> None:
        place = self._writing.index(answer)
        if self._base.is_shared:
            with torch.inference_mode():
                self._rows.remove_row(place)
        last = self._writing.pop()
        if last is not answer:
            self._writing[place] = last

    def _tensor(self, values: list) -> torch.Tensor:
        return torch.tensor(values, device=self._base.device)


def _keys(answers: list[Answer]) -> list[str | None]:
    return [answer.adapter.key if answer.adapter else None for answer in answers]
