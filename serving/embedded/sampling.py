"""Picks the next token from one row of logits. Imports torch: only the worker thread comes here."""

from __future__ import annotations

import torch

from serving.protocol import ChatRequest


class Sampler:
    """Temperature 0 is greedy; the same seed gives the same tokens, whatever runs beside it."""

    def __init__(self, request: ChatRequest):
        self._request = request
        self._random = torch.Generator(device="cpu")
        if request.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(request.seed)
        self._counts: dict[int, int] = {}

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


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keeps the fewest most likely tokens that reach `top_p` together, at least one."""
    sorted_, order = probabilities.sort(descending=True)
    before = sorted_.cumsum(0) - sorted_
    sorted_[(before >= top_p).nonzero()] = 0
    sorted_[0] = max(float(sorted_[0]), torch.finfo(sorted_.dtype).tiny)
    return torch.zeros_like(probabilities).scatter_(0, order, sorted_)
