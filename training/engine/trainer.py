"""TRL's SFTTrainer with our batches: the loop, optimiser, schedule and clipping are its own.

What differs, and why, is in docs/decisions/0021-engine-on-trl.md: a step's rows are split into passes by
length instead of in the order they come, only positions with a trained next token reach the vocabulary, and
the entropy and accuracy of every token, which nobody reads, are not computed.
"""

from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from trl import SFTTrainer

from training.engine.batches import Pass, idle_pass, make_passes
from training.engine.data import Example
from training.engine.exact_trainer import ExactTrainer


class StepTrainer(ExactTrainer, SFTTrainer):
    """Learns the trained tokens of `Example` rows."""

    def __init__(self, *, model, **kwargs):
        adapter = [(parameter, parameter.data) for parameter in model.parameters() if parameter.requires_grad]
        super().__init__(model=model, **kwargs)
        # On a base model in 4 bits TRL rounds the adapter to bf16, in which small steps are lost.
        for parameter, data in adapter:
            parameter.data = data
        self._positions: torch.Tensor | None = None
        # On CUDA the parent's own head scores in tiles, so that a vocabulary of 100,000 and more fits.
        self.is_compact = self.args.device.type != "cuda"
        if self.is_compact:
            self.model.get_output_embeddings().register_forward_pre_hook(self._keep_positions)

    def placeholder(self) -> Dataset:
        first = self.first_example()
        return Dataset.from_list([{"input_ids": first.input_ids, "labels": first.labels}])

    def first_example(self) -> Example:
        return self.work.train[0]

    def _keep_positions(self, _module, inputs):
        """Only hidden states that have something to learn go on to the vocabulary."""
        if self._positions is None:
            return inputs
        hidden = inputs[0].flatten(0, 1).index_select(0, self._positions)
        return (hidden.unsqueeze(0), *inputs[1:])

    def summed_loss(self, model: torch.nn.Module, part: Pass) -> torch.Tensor:
        """Sum over the pass's trained tokens of the negative log-likelihood, in nats; a scalar."""
        with self.compute_loss_context_manager():
            if not self.is_compact:
                shifted = torch.full(part.input_ids.shape, -100, device=part.input_ids.device)
                shifted.view(-1)[part.positions] = part.targets
                found = model(
                    input_ids=part.input_ids, shift_labels=shifted, fused_lm_head=True, num_items_in_batch=1
                )
                return found.loss
            self._positions = part.positions
            try:
                logits = model(input_ids=part.input_ids, use_cache=False).logits[0]
            finally:
                self._positions = None
        return F.cross_entropy(logits.float(), part.targets, reduction="sum")

    def gradients(self, model, rows: list[Example]) -> torch.Tensor:
        passes = self.passes_of(rows)
        trained = max(1, sum(row.trained_tokens for row in rows))
        total = torch.zeros((), device=self.args.device)
        for part in passes:
            loss = self.summed_loss(model, part.to(self.args.device)) / trained
            self.learn(loss)
            total += loss.detach()
            self.tokens_seen += part.tokens
        return total

    def measured(self, rows: list[Example]) -> Any:
        """(negative log-likelihood in nats, trained tokens)."""
        total, trained = 0.0, 0
        for part in self.passes_of(rows):
            total += self.summed_loss(self.model, part.to(self.args.device)).item()
            trained += part.targets.numel()
        return total, trained

    def told(self, measured: Any) -> dict[str, float]:
        total, trained = self.work.ranks.sum(measured)
        return {"eval_loss": total / max(1, trained)}

    def passes_of(self, rows: list[Example]) -> list[Pass]:
        """This process's share of `rows`; where the model is split, as many passes in each process."""
        ranks = self.work.ranks
        shares = ranks.shares(rows, lambda row: len(row.input_ids))
        if not ranks.is_sharded:
            return make_passes(shares[ranks.index], self.tokens_per_pass)
        passes = [make_passes(share, self.tokens_per_pass) for share in shares]
        missing = max(map(len, passes)) - len(passes[ranks.index])
        return [*passes[ranks.index], *missing * [idle_pass(min(rows, key=lambda row: len(row.input_ids)))]]
