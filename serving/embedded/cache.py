"""Keys and values of several answers in one piece of memory, which join and leave between two tokens.

All rows end at the same column, so that one token of each is one column more; what is left of a shorter row's beginning
is zero, and hidden by the mask.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

# So many columns are taken at once, so that memory is moved once in so many tokens.
COLUMNS = 64


class RowsLayer(DynamicLayer):
    """One layer's part. `keys` and `values` are views (rows, heads, columns, size) of what is kept."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[torch.Tensor] = []  # keys, values: (rows, heads, columns, size), some of them spare
        self._rows = self._start = self._end = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """Takes as many columns of each row as are given; rows themselves only join by `add_row`."""
        new = key_states.shape[-2]
        if self._end + new > self._kept[0].shape[2]:
            self._lay_out(self._rows, self._end - self._start, new + COLUMNS)
        for kept, states in zip(self._kept, (key_states, value_states), strict=True):
            kept[: self._rows, :, self._end : self._end + new] = states
        self._end += new
        return self._show()

    def add_row(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """`keys` and `values`: (heads, columns, size) of one answer."""
        length, width = keys.shape[1], self._end - self._start
        if not self._kept:
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
            self._kept = [
                states.new_empty((0, states.shape[0], 0, states.shape[2])) for states in (keys, values)
            ]
        if self._rows == self._kept[0].shape[0] or length > width:
            self._lay_out(self._rows + 1, max(length, width), COLUMNS)
        for kept, states in zip(self._kept, (keys, values), strict=True):
            kept[self._rows, :, self._start : self._end - length] = 0
            kept[self._rows, :, self._end - length : self._end] = states
        self._rows += 1
        self._show()

    def remove_row(self, row: int, width: int) -> None:
        """The last row takes its place; of the columns the last `width` are still needed."""
        self._rows -= 1
        self._start = self._end - width
        for kept in self._kept:
            kept[row, :, self._start : self._end] = kept[self._rows, :, self._start : self._end]
        self._show()

    def _lay_out(self, rows: int, width: int, spare: int) -> None:
        """Moves everything to memory for `rows` rows of `width` columns, which end with those of now."""
        have = self._end - self._start
        for place, kept in enumerate(self._kept):
            moved = kept.new_empty((rows, kept.shape[1], width + spare, kept.shape[3]))
            moved[: self._rows, :, : width - have] = 0
            moved[: self._rows, :, width - have : width] = kept[: self._rows, :, self._start : self._end]
            self._kept[place] = moved
        self._start, self._end = 0, width

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (kept[: self._rows, :, self._start : self._end] for kept in self._kept)
        return self.keys, self.values


class RowCache(Cache):
    """All layers; `lengths` has the number of tokens of each row."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.lengths: list[int] = []

    @property
    def width(self) -> int:
        return max(self.lengths, default=0)

    def add_row(self, read: Cache, row: int, length: int) -> None:
        """Takes over the last `length` columns of a row of another cache."""
        if not self.lengths:
            self.layers = [RowsLayer() for _ in read.layers]
        for layer, other in zip(self.layers, read.layers, strict=True):
            layer.add_row(other.keys[row, :, -length:], other.values[row, :, -length:])
        self.lengths.append(length)

    def remove_row(self, row: int) -> None:
        """The last row takes its place. With the last one all memory goes."""
        self.lengths[row] = self.lengths[-1]
        self.lengths.pop()
        if not self.lengths:
            self.layers = []
        for layer in self.layers:
            layer.remove_row(row, self.width)

    def mask(self, device: str) -> torch.Tensor | None:
        """(rows, columns + 1) for the pass over one more token of each; None where nothing has to be hidden."""
        width = self.width
        if all(length == width for length in self.lengths):
            return None
        hidden = torch.tensor([width - length for length in self.lengths], device=device)
        return torch.arange(width + 1, device=device)[None, :] >= hidden[:, None]

    def grow(self) -> None:
        """Each row has one token more."""
        self.lengths = [length + 1 for length in self.lengths]
