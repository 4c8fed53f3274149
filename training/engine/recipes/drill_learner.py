"""What a drill trains: a little network with dropout, by AdamW on a schedule, on data made from its seed."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from training.engine.checkpoints import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    Snapshot,
    Tensors,
    part,
    part_of,
)
from training.engine.drill_config import DrillConfig
from training.engine.hardware import peak_memory_of_process
from training.engine.order import RowOrder
from training.engine.recipes.drill_optimizer import SmallAdamW
from training.engine.spreading import ALONE, Ranks, own_seed

WARMUP_STEPS = 4


class DrillLearner:
    """A `Learner` whose rows are one token each."""

    longest_row = 1

    def __init__(
        self,
        config: DrillConfig,
        *,
        rows: int,
        held_out_rows: int,
        rows_per_step: int,
        ranks: Ranks = ALONE,
    ):
        self.config = config
        self.ranks = ranks
        self.tokens_seen = 0
        self.tokens_per_pass = config.tokens_per_pass
        torch.manual_seed(config.seed)
        inputs = torch.randn(rows + held_out_rows, config.width)
        targets = torch.sin(inputs @ torch.randn(config.width, 1) / math.sqrt(config.width))
        self.train = inputs[:rows], targets[:rows]
        self.held_out = inputs[rows:], targets[rows:]
        self.network = nn.Sequential(
            nn.Linear(config.width, config.width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(config.width, 1)
        )
        self.optimizer = SmallAdamW(self.network.parameters())
        self.order = RowOrder(rows, rows_per_step, config.seed)
        if not ranks.is_first:
            torch.manual_seed(own_seed(config.seed, ranks.index))

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def _factor(self, step: int) -> float:
        """Up in a few steps, then down along a cosine."""
        if step < WARMUP_STEPS:
            return (step + 1) / WARMUP_STEPS
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.config.steps)))

    # --- A step ---

    def gradients(self, step: int) -> float:
        """Forward and backward over this process's share of the rows of `step` (from 1), in passes.

        Returns the share's part of the mean loss.
        """
        self.network.train()
        chosen = self.order.rows_of(step)
        mine = self.ranks.shares(chosen, lambda row: 1)[self.ranks.index]
        total = 0.0
        for start in range(0, len(mine), self.tokens_per_pass):
            rows = mine[start : start + self.tokens_per_pass]
            if self.config.oom_above is not None and len(rows) > self.config.oom_above:
                raise torch.OutOfMemoryError(f"out of memory, injected: {len(rows)} tokens in one pass")
            loss = F.mse_loss(self.network(self.train[0][rows]), self.train[1][rows], reduction="sum") / len(
                chosen
            )
            loss.backward()
            total += loss.item()
            self.tokens_seen += len(rows)
        return math.nan if step == self.config.nan_at_step else total

    def add_up(self, loss: float, tokens_before: int) -> float:
        """Every process gets the gradients and the tokens of all of them; returns the loss of the whole step."""
        self.ranks.add_gradients(list(self.network.parameters()))
        total, tokens = self.ranks.sum([loss, self.tokens_seen - tokens_before])
        self.tokens_seen = tokens_before + int(tokens)
        return total

    def clear_gradients(self) -> None:
        self.optimizer.clear_gradients()

    def move(self) -> tuple[float, float]:
        """Makes the step along the gradients; returns (learning rate, gradient norm)."""
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0).item()
        rate = self.config.learning_rate * self._factor(self.optimizer.steps)
        self.optimizer.step(rate)
        self.clear_gradients()
        return rate, norm

    # --- What the watcher asks ---

    @torch.no_grad()
    def check(self) -> dict[str, Any]:
        self.network.eval()
        loss = F.mse_loss(self.network(self.held_out[0]), self.held_out[1]).item()
        return {"eval_loss": loss, "eval_rows": len(self.held_out[0])}

    @torch.no_grad()
    def sample(self) -> list[dict[str, str]]:
        self.network.eval()
        count = min(self.config.sample_count, len(self.held_out[0]))
        answers = self.network(self.held_out[0][:count]).flatten().tolist()
        return [
            {
                "question": f"row {i}",
                "answer": f"{answer:.3f}",
                "expected": f"{self.held_out[1][i].item():.3f}",
            }
            for i, answer in enumerate(answers)
        ]

    def memory_bytes(self) -> int:
        return peak_memory_of_process()

    def adapter(self) -> Tensors:
        return self.network.state_dict()

    def load_adapter(self, tensors: Tensors) -> None:
        self.network.load_state_dict(tensors)

    def write_adapter(self, directory: Path, tensors: Tensors) -> None:
        save_file(tensors, directory / ADAPTER_FILE)
        text = json.dumps({"peft_type": "DRILL", "width": self.config.width, "r": 1})
        (directory / ADAPTER_CONFIG).write_text(text, encoding="utf-8")

    def saved_parts(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, numbers = self.optimizer.state()
        own = {"tokens_seen": self.tokens_seen, "tokens_per_pass": self.tokens_per_pass}
        return part("optimizer", tensors), {
            "optimizer": numbers,
            "learner": own,
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Takes up everything that `saved_parts` gave, and the weights."""
        self.load_adapter(snapshot.adapter)
        self.optimizer.restore(part_of("optimizer", snapshot.tensors), snapshot.numbers["optimizer"])
        own = snapshot.numbers["learner"]
        self.tokens_seen, self.tokens_per_pass = own["tokens_seen"], own["tokens_per_pass"]
