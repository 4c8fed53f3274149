"""What a step of DPO, ORPO and KTO minimises: exactly the same however its rows are put into passes.

The formulas are those of TRL 1.16 (`DPOTrainer` with the loss `sigmoid`, or `robust` with label smoothing,
`ORPOTrainer`, `KTOTrainer` with the loss `kto`), for a batch that is the whole step; tests/engine/golden compares
them step by step. Why they stand here: docs/decisions/0074-preferences.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from training.engine.answer_passes import (
    AnswerPass,
    in_groups,
    make_answer_pass,
    marked_pass,
    pair_pass,
)
from training.engine.comparisons import Marked, Pair
from training.engine.config import TrainingConfig

# (scored,) log-probabilities of a pass's targets.
Score = Callable[[AnswerPass], torch.Tensor]


@dataclass(frozen=True)
class Found:
    """Of one pass: its part of the step's loss, and what the answers earned (detached).

    `chosen` and `rejected` are rewards; `is_right` tells for each pair, or for each marked answer, whether the model
    by now agrees with the person.
    """

    loss: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor
    is_right: torch.Tensor


class Objective(Protocol):
    """How one step learns. `needs_reference`: it compares with the model as it was at the beginning."""

    needs_reference: bool

    def groups(self, rows: Sequence[Any], budget: int) -> list[list]:
        """`rows` in groups that go through the model together, of at most `budget` tokens with padding."""

    def make_pass(self, group: Sequence[Any]) -> AnswerPass: ...

    def whole(self, rows: Sequence[Any], budget: int, policy: Score, reference: Score) -> Any:
        """What concerns all rows of a step at once; handed to `found`. No gradient is kept."""

    def found(
        self, part: AnswerPass, policy: torch.Tensor, reference: torch.Tensor | None, whole: Any
    ) -> Found: ...


@dataclass(frozen=True)
class Dpo:
    """Direct preference optimisation: the better answer gains more over the reference than the worse one.

    With `smoothing` it is the robust loss (arXiv 2403.00409), which takes that share of comparisons to be the
    wrong way round and is right in the mean all the same.
    """

    beta: float
    smoothing: float = 0.0
    needs_reference = True

    def groups(self, rows: Sequence[Pair], budget: int) -> list[list]:
        return in_groups(rows, budget)

    def make_pass(self, group: Sequence[Pair]) -> AnswerPass:
        return pair_pass(group)

    def whole(self, rows: Sequence[Pair], budget: int, policy: Score, reference: Score) -> int:
        return len(rows)

    def found(
        self, part: AnswerPass, policy: torch.Tensor, reference: torch.Tensor | None, whole: int
    ) -> Found:
        assert reference is not None
        chosen, rejected = (self.beta * part.per_row(policy - reference)).chunk(2)
        margins = chosen - rejected
        losses = -F.logsigmoid(margins)
        if self.smoothing:
            flipped = -F.logsigmoid(-margins)
            losses = ((1 - self.smoothing) * losses - self.smoothing * flipped) / (1 - 2 * self.smoothing)
        return Found(losses.sum() / whole, chosen.detach(), rejected.detach(), (margins > 0).detach())


@dataclass(frozen=True)
class Orpo:
    """Odds-ratio preference optimisation: imitates the better answer and makes it likelier than the worse one.

    Imitation takes in the prompt, as in the paper's own code. Rewards are the mean log-probabilities times `beta`.
    """

    beta: float
    needs_reference = False

    def groups(self, rows: Sequence[Pair], budget: int) -> list[list]:
        return in_groups(rows, budget)

    def make_pass(self, group: Sequence[Pair]) -> AnswerPass:
        return pair_pass(group, with_prompts=True)

    def whole(self, rows: Sequence[Pair], budget: int, policy: Score, reference: Score) -> tuple[int, int]:
        """(pairs, tokens to imitate): the first token of a row has nothing before it."""
        return len(rows), sum(len(pair.chosen.input_ids) - 1 for pair in rows)

    def found(
        self,
        part: AnswerPass,
        policy: torch.Tensor,
        reference: torch.Tensor | None,
        whole: tuple[int, int],
    ) -> Found:
        pairs, tokens = whole
        means = part.per_row(policy * part.is_answer) / part.answer_lengths
        chosen, rejected = means.chunk(2)
        log_odds = (chosen - rejected) - (_log_one_minus_exp(chosen) - _log_one_minus_exp(rejected))
        imitation = -part.per_row(policy)[: len(chosen)].sum()
        loss = imitation / tokens - self.beta * F.logsigmoid(log_odds).sum() / pairs
        earned, lost = (self.beta * means.detach()).chunk(2)
        return Found(loss, earned, lost, earned > lost)


@dataclass(frozen=True)
class Kto:
    """Kahneman-Tversky optimisation: marked answers against how far the model has drifted from the reference.

    The drift is measured once a step, without gradient: every prompt with the answer of the row before it.
    """

    beta: float
    good_weight: float
    bad_weight: float
    max_length: int
    needs_reference = True

    def groups(self, rows: Sequence[Marked], budget: int) -> list[list]:
        return in_groups(rows, budget)

    def make_pass(self, group: Sequence[Marked]) -> AnswerPass:
        return marked_pass(group)

    @torch.no_grad()
    def whole(
        self, rows: Sequence[Marked], budget: int, policy: Score, reference: Score
    ) -> tuple[int, torch.Tensor]:
        """(rows, drift in nats per answer, at least 0)."""
        mismatched = [
            Marked(row.answered_by(before, self.max_length), row.is_good)
            for row, before in zip(rows, [rows[-1], *rows[:-1]], strict=True)
        ]
        total = torch.zeros(())
        for group in in_groups(mismatched, budget):
            part = make_answer_pass([row.example for row in group], [row.is_good for row in group])
            total = total + (policy(part) - reference(part)).sum().cpu()
        return len(rows), (total / len(rows)).clamp(min=0)

    def found(
        self,
        part: AnswerPass,
        policy: torch.Tensor,
        reference: torch.Tensor | None,
        whole: tuple[int, torch.Tensor],
    ) -> Found:
        assert reference is not None
        rows, drift = whole
        gains = part.per_row(policy - reference)
        is_good = part.is_good
        beyond = self.beta * torch.where(is_good, gains - drift, drift - gains)
        weights = torch.where(is_good, self.good_weight, self.bad_weight)
        losses = weights * (1 - torch.sigmoid(beyond))
        rewards = self.beta * gains.detach()
        return Found(losses.sum() / rows, rewards[is_good], rewards[~is_good], (beyond > 0).detach())


def objective_of(method: str, config: TrainingConfig, max_length: int) -> Objective:
    if method == "orpo":
        return Orpo(config.beta)
    if method == "kto":
        return Kto(config.beta, config.desirable_weight, config.undesirable_weight, max_length)
    return Dpo(config.beta, config.label_smoothing)


def _log_one_minus_exp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) for x < 0, exact near both ends."""
    near_zero = torch.log(-torch.expm1(x))
    return torch.where(x > -0.6931472, near_zero, torch.log1p(-torch.exp(x)))
