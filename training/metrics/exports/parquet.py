"""Parquet: one row a step, doubles as they are, null where a number is unknown."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.metrics.packing import WHOLE_NUMBERS, Columns, join

EXTENSION = "parquet"
CONTENT_TYPE = "application/vnd.apache.parquet"
BLOCKS_A_GROUP = 64


def pieces(blocks: Iterable[Columns], names: list[str]) -> Iterator[bytes]:
    kinds = {name: pa.int64() if name in WHOLE_NUMBERS else pa.float64() for name in names}
    schema = pa.schema([("step", pa.int64()), *kinds.items()])
    sink = Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema) as writer:
        waiting: list[Columns] = []
        for block in blocks:
            waiting.append(block)
            if len(waiting) == BLOCKS_A_GROUP:
                writer.write_table(table(join(waiting), schema))
                waiting = []
                yield sink.take()
        if waiting:
            writer.write_table(table(join(waiting), schema))
    yield sink.take()


def table(block: Columns, schema: pa.Schema) -> pa.Table:
    unknown = np.full(len(block), np.nan)
    columns = [pa.array(block.steps, pa.int64())]
    for column in list(schema)[1:]:
        values = block.series.get(column.name, unknown)
        mask = np.isnan(values)
        if column.type == pa.int64():
            values = np.where(mask, 0, values).astype(np.int64)
        columns.append(pa.array(values, column.type, mask=mask))
    return pa.table(columns, schema=schema)


class Sink:
    """A file that is only written to, whose bytes are taken away as they come."""

    def __init__(self):
        self.parts: list[bytes] = []
        self.size = 0
        self.closed = False

    def write(self, data) -> int:
        self.parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken, self.parts = b"".join(self.parts), []
        return taken
