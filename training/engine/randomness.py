"""The state of every random generator of this process, taken and put back."""

import random
from dataclasses import dataclass
from typing import Any

import numpy
import torch


@dataclass(frozen=True)
class Randomness:
    """`numbers` is Python's and numpy's state, ready for JSON; `tensors` torch's: `cpu`, `cuda` of the GPU in use."""

    numbers: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @classmethod
    def now(cls) -> "Randomness":
        version, inner, gauss = random.getstate()
        state: Any = numpy.random.get_state()  # noqa: NPY002
        name, keys, position, has_gauss, cached = state
        tensors = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["cuda"] = torch.cuda.get_rng_state()
        return cls(
            {
                "python": [version, list(inner), gauss],
                "numpy": [name, keys.tolist(), position, has_gauss, cached],
            },
            tensors,
        )

    def restore(self) -> None:
        """Every generator goes on as it would have then. A GPU that is not here now is left out."""
        version, inner, gauss = self.numbers["python"]
        random.setstate((version, tuple(inner), gauss))
        name, keys, position, has_gauss, cached = self.numbers["numpy"]
        keys = numpy.array(keys, dtype=numpy.uint32)
        numpy.random.set_state((name, keys, position, has_gauss, cached))  # noqa: NPY002
        torch.set_rng_state(self.tensors["cpu"])
        if torch.cuda.is_available() and "cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["cuda"])
