"""Which rows each step takes: a new order in every epoch, the same for a seed, found for any step."""

import torch


class RowOrder:
    """`rows` rows, `rows_per_step` in a step, the last step of an epoch taking what is left."""

    def __init__(self, rows: int, rows_per_step: int, seed: int):
        self.rows = rows
        self.rows_per_step = rows_per_step
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch = -1
        self._order: list[int] = []

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.rows_per_step)

    def rows_of(self, step: int) -> list[int]:
        """Indices of the rows of `step`, counted from 1 through all epochs."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        if epoch < self._epoch:
            self._generator.manual_seed(self._seed)
            self._epoch = -1
        # Each epoch's order is the generator's next draw; drawing over those before costs next to nothing.
        while self._epoch < epoch:
            order = torch.randperm(self.rows, generator=self._generator)
            self._epoch += 1
            if self._epoch == epoch:
                self._order = order.tolist()
        return self._order[place * self.rows_per_step : (place + 1) * self.rows_per_step]
