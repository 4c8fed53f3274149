"""AdamW in a few lines, for drills: torch's own loads its compiler first, which takes longer than a whole drill.

Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
"""

from collections.abc import Iterable
from typing import Any

import torch

BETAS, EPSILON, DECAY = (0.9, 0.999), 1e-8, 0.01


class SmallAdamW:
    """Moves `parameters` along their gradients; everything that the next step depends on is in `state()`."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]):
        self.parameters = list(parameters)
        self.steps = 0
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One step; gradients stay as they are."""
        self.steps += 1
        first, second = (1 - beta**self.steps for beta in BETAS)
        for parameter, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            parameter.mul_(1 - learning_rate * DECAY)
            parameter.addcdiv_(mean / first, (square / second).sqrt_().add_(EPSILON), value=-learning_rate)

    def clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(tensors, numbers) for `restore`."""
        means = {f"{index}.mean": tensor for index, tensor in enumerate(self.means)}
        squares = {f"{index}.square": tensor for index, tensor in enumerate(self.squares)}
        return means | squares, {"steps": self.steps}

    def restore(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        self.steps = numbers["steps"]
        for index in range(len(self.parameters)):
            self.means[index].copy_(tensors[f"{index}.mean"])
            self.squares[index].copy_(tensors[f"{index}.square"])
