"""CSV (RFC 4180): one line a step, empty where a number is unknown; each number reads back as the same double."""

from collections.abc import Iterable, Iterator

import numpy as np

from training.metrics.packing import Columns, plain

EXTENSION = "csv"
CONTENT_TYPE = "text/csv; charset=utf-8"


def pieces(blocks: Iterable[Columns], names: list[str]) -> Iterator[bytes]:
    yield (",".join(["step", *names]) + "\r\n").encode()
    for block in blocks:
        unknown = np.full(len(block), np.nan)
        columns: list[list[str]] = [list(map(str, block.steps.tolist()))]
        for name in names:
            values = plain(name, block.series.get(name, unknown))
            columns.append(["" if value is None else repr(value) for value in values])
        yield "".join(",".join(row) + "\r\n" for row in zip(*columns, strict=True)).encode()
