"""The trainer of preferences: the loop of `StepTrainer`, and steps that compare answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from training.engine.answer_passes import AnswerPass, longest_of
from training.engine.objectives import Found, Objective
from training.engine.reference import Reference, without_dropout
from training.engine.spreading import Ranks
from training.engine.trainer import StepTrainer


@dataclass
class Tally:
    """What the passes of a step, or of a check, add up to: in one process, or, after `of_all`, in all of them."""

    loss: float = 0.0
    chosen: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.loss += found.loss.item()
        self.chosen += found.chosen.tolist()
        self.rejected += found.rejected.tolist()
        self.is_right += found.is_right.tolist()

    def of_all(self, ranks: Ranks) -> "Tally":
        whole = Tally()
        for part in ranks.each(self):
            whole.loss += part.loss
            whole.chosen += part.chosen
            whole.rejected += part.rejected
            whole.is_right += part.is_right
        return whole

    def rewards(self, prefix: str = "") -> dict[str, float | None]:
        """Means over the answers; None where there was no such answer."""
        chosen, rejected = _mean(self.chosen), _mean(self.rejected)
        return {
            f"{prefix}rewards_chosen": chosen,
            f"{prefix}rewards_rejected": rejected,
            f"{prefix}rewards_margin": None if chosen is None or rejected is None else chosen - rejected,
            f"{prefix}rewards_accuracy": _mean(self.is_right),
        }


class PreferenceTrainer(StepTrainer):
    """Learns rows that compare or mark answers, by `objective`, against `reference` where it needs one."""

    def __init__(self, *, objective: Objective, reference: Reference | None, **kwargs: Any):
        self.objective = objective
        self.reference = reference
        self.tally = Tally()
        super().__init__(**kwargs)

    def first_example(self):
        return self.work.train[0].examples[0]

    def gradients(self, model, rows: Sequence[Any]) -> torch.Tensor:
        self.tally = self._compare(model, rows, self.learn)
        return torch.tensor(self.tally.loss, device=self.args.device)

    def measured(self, rows: Sequence[Any]) -> Tally:
        """All `rows` as one step."""
        return self._compare(self.model, rows)

    def told(self, measured: Tally) -> dict[str, Any]:
        tally = measured.of_all(self.work.ranks)
        rewards = tally.rewards("eval_")
        kept = ("eval_rewards_margin", "eval_rewards_accuracy")
        return {"eval_loss": tally.loss, **{name: rewards[name] for name in kept}}

    def step_extras(self, logs: dict[str, float]) -> dict[str, Any]:
        return self.tally.of_all(self.work.ranks).rewards()

    def _compare(
        self, model, rows: Sequence[Any], learn: Callable[[torch.Tensor], object] | None = None
    ) -> Tally:
        """Goes through this process's share of `rows`, all of a step, pass after pass.

        `learn` takes each pass's part of the step's loss. What concerns all rows at once each process finds itself.
        """

        def policy(part: AnswerPass) -> torch.Tensor:
            return self.log_probs(model, part)

        tally, objective = Tally(), self.objective
        with without_dropout(self.model):
            whole = objective.whole(rows, self.tokens_per_pass, policy, self.reference_log_probs)
        mine = self.work.ranks.shares(rows, longest_of)[self.work.ranks.index]
        for group in objective.groups(mine, self.tokens_per_pass):
            part = objective.make_pass(group).to(self.args.device)
            before = self.reference_log_probs(part) if objective.needs_reference else None
            found = objective.found(part, policy(part), before, whole)
            if learn:
                learn(found.loss)
                self.tokens_seen += part.tokens
            tally.add(found)
        return tally

    def log_probs(self, model, part: AnswerPass) -> torch.Tensor:
        """(scored,): the log-probability of each target of a pass, in nats."""
        part = part.to(self.args.device)
        with self.compute_loss_context_manager():
            if not self.is_compact:
                shifted = torch.full(part.input_ids.shape, -100, device=part.input_ids.device)
                shifted.view(-1)[part.positions] = part.targets
                found = model(
                    input_ids=part.input_ids, shift_labels=shifted, fused_lm_head=True, num_items_in_batch=1
                )
                return found.log_probs.flatten().index_select(0, part.positions).float()
            self._positions = part.positions
            try:
                logits = model(input_ids=part.input_ids, use_cache=False).logits[0]
            finally:
                self._positions = None
        return -F.cross_entropy(logits.float(), part.targets, reduction="none")

    def reference_log_probs(self, part: AnswerPass) -> torch.Tensor:
        """The same of the model as it was at the beginning; no gradient."""
        assert self.reference is not None
        with torch.no_grad(), self.reference():
            return self.log_probs(self.model, part)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
