"""What is taken away is exact: every step, every digit, read by the formats' own readers."""

import csv
import io
import struct

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.training.factories import make_metrics
from training.metrics import store
from training.metrics.exports import FORMATS

ROWS = [{"step": 0, "eval_loss": 1 / 3, "time": 1.7e9}] + [
    {"step": step, "loss": np.nextafter(2.0, step), "tokens": 7 * step, "learning_rate": 1e-4 / step,
     "time": 1.7e9 + step}
    for step in range(1, 2500)
]  # fmt: skip


@pytest.fixture
def export(job):
    make_metrics(job, ROWS)
    make_metrics(job, [{"step": 2000, "eval_loss": 0.1}])
    names = store.series_names(job)
    assert names == ["loss", "eval_loss", "learning_rate", "tokens", "time"]

    def in_format(name: str) -> bytes:
        return b"".join(FORMATS[name].pieces(store.read_blocks(job), names))

    return in_format


def expected(step: int) -> dict:
    return {**dict.fromkeys(["loss", "eval_loss", "tokens", "learning_rate", "time"]), **ROWS[step]} | (
        {"eval_loss": 0.1} if step == 2000 else {}
    )


@pytest.mark.django_db
def test_csv_holds_every_step_with_every_digit(export):
    rows = list(csv.DictReader(io.StringIO(export("csv").decode())))
    assert len(rows) == 2500
    for step, row in enumerate(rows):
        assert {name: float(value) if value else None for name, value in row.items()} == expected(step)
    assert rows[5]["tokens"] == "35"


@pytest.mark.django_db
def test_parquet_holds_every_step_with_every_digit(export):
    table = pq.read_table(io.BytesIO(export("parquet")))
    assert str(table.schema.field("tokens").type) == "int64"
    assert [dict(row) for row in table.to_pylist()] == [expected(step) for step in range(2500)]


@pytest.mark.django_db
def test_tensorboards_own_messages_read_the_event_file_without_loss(export):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    from tensorboardX.record_writer import masked_crc32c

    data, events = export("tensorboard"), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        if len(events) % 50 < 3:
            assert struct.pack("<I", masked_crc32c(data[:8])) == data[8:12]
            assert struct.pack("<I", masked_crc32c(body)) == data[12 + length : 16 + length]
        events.append(event_pb2.Event.FromString(body))
        data = data[16 + length :]
    assert events[0].file_version == "brain.Event:2"
    names = {
        "train/loss": "loss",
        "eval/loss": "eval_loss",
        "train/tokens": "tokens",
        "train/learning_rate": "learning_rate",
    }
    assert len(events) == 2501
    for event in events[1:]:
        tensors = [value.tensor for value in event.summary.value]
        assert all(np.float32(tensor.double_val[0]) == tensor.float_val[0] for tensor in tensors)
        found = {names[value.tag]: value.tensor.double_val[0] for value in event.summary.value}
        known = {name: number for name, number in expected(event.step).items() if number is not None}
        assert found | {"time": event.wall_time, "step": event.step} == known
    kinds = [
        value for event in events for value in event.summary.value if value.metadata.plugin_data.plugin_name
    ]
    assert {value.tag for value in kinds} == set(names) and len(kinds) == len(names)
