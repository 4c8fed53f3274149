"""TRL's SFTTrainer with our batches: the loop, optimiser, schedule and clipping are its own.

What differs, and why, is in docs/decisions/0021-engine-on-trl.md: a step's rows are split into passes by
length instead of in the order they come, only positions with a trained next token reach the vocabulary, and
the entropy and accuracy of every token, which nobody reads, are not computed.
"""

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch.utils.data import DataLoader
from trl import SFTConfig as TrlConfig
from trl import SFTTrainer

from training.engine.batches import Pass, Steps, make_passes
from training.engine.data import Example


class StepTrainer(SFTTrainer):
    """Trains on `steps`, one list of passes per optimiser step. `tokens_seen` counts tokens without padding."""

    def __init__(self, *, steps: Steps, args: TrlConfig, **kwargs):
        self.steps = steps
        self.tokens_seen = 0
        # The parent wants to see a dataset; the rows come from `steps`.
        columns = [
            {"input_ids": example.input_ids, "labels": example.labels} for example in steps.examples[:1]
        ]
        super().__init__(args=args, train_dataset=Dataset.from_list(columns), **kwargs)
        self._positions: torch.Tensor | None = None
        # On CUDA the parent's own head scores in tiles, so that a vocabulary of 100,000 and more fits.
        self.is_compact = self.args.device.type != "cuda"
        if self.is_compact:
            self.model.get_output_embeddings().register_forward_pre_hook(self._keep_positions)

    def _keep_positions(self, _module, inputs):
        """Only hidden states that have something to learn go on to the vocabulary."""
        if self._positions is None:
            return inputs
        hidden = inputs[0].flatten(0, 1).index_select(0, self._positions)
        return (hidden.unsqueeze(0), *inputs[1:])

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(_Epochs(self.steps), batch_size=None)

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

    def training_step(self, model, inputs: list[Pass], num_items_in_batch=None) -> torch.Tensor:
        """One optimiser step's forward and backward; returns its mean loss per trained token."""
        model.train()
        trained = max(1, sum(part.targets.numel() for part in inputs))
        total = torch.zeros((), device=self.args.device)
        for part in inputs:
            loss = self.summed_loss(model, part.to(self.args.device)) / trained
            self.accelerator.backward(loss)
            total += loss.detach()
            self.tokens_seen += part.tokens
        return total

    def floating_point_ops(self, inputs) -> int:
        return 0

    @torch.no_grad()
    def held_out_loss(self, examples: list[Example], budget: int) -> float:
        """Mean loss per trained token over `examples`, in nats."""
        self.model.eval()
        total, trained = 0.0, 0
        for part in make_passes(examples, budget):
            total += self.summed_loss(self.model, part.to(self.args.device)).item()
            trained += part.targets.numel()
        self.model.train()
        return total / max(1, trained)


class _Epochs(torch.utils.data.IterableDataset):
    """The steps as torch's DataLoader likes them."""

    def __init__(self, steps: Steps):
        self.steps = steps

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self):
        return iter(self.steps)
