"""Picks the next token from one row of logits, and says how likely tokens were. Only the worker thread comes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from serving.protocol import ChatRequest, CompletionRequest


@dataclass(frozen=True, slots=True)
class Token:
    """The natural logarithm of its probability, and its rank by it, from 1: of the model as it is.

    Temperature and penalties come later.
    """

    token_id: int
    text: str
    logprob: float
    rank: int


@dataclass(frozen=True, slots=True)
class Score:
    """A token that stands there, and those that are the likeliest there, best first."""

    token: Token
    top: list[Token]


class Sampler:
    """Temperature 0 is greedy; the same seed gives the same tokens, whatever runs beside it."""

    def __init__(self, request: ChatRequest | CompletionRequest, seed: int | None):
        self._request = request
        self._random = torch.Generator(device="cpu")
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed)
        self._counts: dict[int, int] = {}
        self.is_plain = (
            request.temperature == 0 and request.frequency_penalty == 0 and request.presence_penalty == 0
        )

    def pick(self, logits: torch.Tensor) -> int:
        """`logits`: one float row of the size of the vocabulary."""
        # The processor's generator is the same on every machine, a GPU's is not.
        logits = logits.float().cpu()
        logits = self._penalised(logits)
        token = int(logits.argmax()) if self._request.temperature == 0 else self._sample(logits)
        self._counts[token] = self._counts.get(token, 0) + 1
        return token

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        frequency, presence = self._request.frequency_penalty, self._request.presence_penalty
        if not self._counts or (frequency == 0 and presence == 0):
            return logits
        logits = logits.clone()
        ids = torch.tensor(list(self._counts))
        counts = torch.tensor(list(self._counts.values()), dtype=logits.dtype)
        logits[ids] -= frequency * counts + presence
        return logits

    def _sample(self, logits: torch.Tensor) -> int:
        # A tiny temperature must not overflow to inf - inf.
        probabilities = torch.softmax((logits - logits.max()) / self._request.temperature, dim=-1)
        if self._request.top_p < 1:
            probabilities = _nucleus(probabilities, self._request.top_p)
        return int(torch.multinomial(probabilities, 1, generator=self._random))


def scores_of(
    logits: torch.Tensor, token_ids: list[int], top: int, text_of: Callable[[int], str]
) -> list[Score]:
    """`logits`: (tokens, vocabulary), a row for each of `token_ids`; with each the `top` likeliest."""
    logprobs = logits.float().log_softmax(-1)
    chosen = logprobs.gather(1, torch.tensor(token_ids, device=logits.device)[:, None])
    ranks = (logprobs > chosen).sum(-1) + 1
    values, ids = logprobs.topk(min(top, logprobs.shape[-1]), dim=-1)
    given = zip(token_ids, chosen[:, 0].tolist(), ranks.tolist(), ids.tolist(), values.tolist(), strict=True)
    return [
        Score(
            Token(token, text_of(token), logprob, rank),
            [
                Token(likely, text_of(likely), value, place)
                for place, (likely, value) in enumerate(zip(likeliest, likelihoods, strict=True), start=1)
            ],
        )
        for token, logprob, rank, likeliest, likelihoods in given
    ]


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keeps the fewest most likely tokens that reach `top_p` together, at least one."""
    sorted_, order = probabilities.sort(descending=True)
    before = sorted_.cumsum(0) - sorted_
    sorted_[(before >= top_p).nonzero()] = 0
    sorted_[0] = max(float(sorted_[0]), torch.finfo(sorted_.dtype).tiny)
    return torch.zeros_like(probabilities).scatter_(0, order, sorted_)
