"""Whatever is in a file, the outcome is a report: no exception, no waiting, no memory without end."""

import gzip
import json
import os
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_app.faults import CODES
from datasets_app.formats import FORMATS
from datasets_app.reading import check_file, read_examples
from datasets_app.reading.report import UNKNOWN
from tests.datasets_app.fault_cases import parquet
from tests.datasets_app.files import DATA, EQ_12_JSONL, chat

SECONDS_MOST = 10
slow_is_fine = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Files of people, small enough to be mutated many times.
REAL = sorted(
    path for path in DATA.rglob("*.json*") if path.is_file() and path.stat().st_size < 40_000
) + [EQ_12_JSONL]  # fmt: skip
PIECES = [
    b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b"NaN", b"1e999",
    b"\\ud83d", b"\\u0000", b'{"a":', b"[[[[", b"null", b"\x1f\x8b", b"PK\x03\x04", b"<html>", b"\t", b";", b"=1+1",
    b'"messages"', b'"role"', b'"content"', b'"training_pairs"', b'{"_meta": 1}', b"Q: a\nA: b\n",
    b"<|im_start|>user\n",
]  # fmt: skip
NAMES = st.sampled_from(
    ["messages", "role", "content", "conversations", "from", "value", "instruction", "output", "prompt", "completion",
     "chosen", "rejected", "text", "turns", "label", "ranking", "responses", "training_pairs", "current_user_input",
     "target_response", "conversation_history", "tools", "tool_calls", "weight", "split", "history", "input", "system",
     "preferred_output", "_meta", "custom_id", "url", "data", "conversation_id"]
)  # fmt: skip
WORDS = st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "train", "held_out", "", "a"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=20), st.just("\ud800")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


def report_on(content: bytes, folder, name: str = "file"):
    """The report on the bytes, which must be one, and soon."""
    path = folder / "file"
    path.write_bytes(content)
    begun = time.process_time()
    report = check_file(path, name)
    assert time.process_time() - begun < SECONDS_MOST
    assert report.verdict in ("accept", "warn", "reject")
    assert report.format in {*FORMATS, UNKNOWN}
    assert (report.verdict == "reject") == bool(report.errors)
    assert {fault["code"] for fault in report.errors + report.warnings} <= CODES.keys()
    json.loads(report.as_json())
    report.as_csv().encode("utf-8", "replace")
    # Rows and report agree, whichever way the file is read; and rows can be stored.
    reading = read_examples(path, name)
    rows = list(reading)
    assert reading.refusal is not None or len(rows) == report.rows
    json.dumps(rows).encode("utf-8")
    return report


@slow_is_fine
@given(content=st.binary(max_size=400))
def test_any_bytes_give_a_report(tmp_path, content):
    report_on(content, tmp_path)


@slow_is_fine
@given(pieces=st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=40))
def test_pieces_of_known_types_in_any_order_give_a_report(tmp_path, pieces):
    report_on(b"".join(pieces), tmp_path)


@slow_is_fine
@given(values=st.lists(VALUES, max_size=4), layout=st.sampled_from(["lines", "list", "object", "pretty"]))
def test_any_json_gives_a_report(tmp_path, values, layout):
    texts = [json.dumps(value, indent=1 if layout == "pretty" else None) for value in values]
    text = {
        "lines": "\n".join(texts),
        "pretty": "\n".join(texts),
        "list": "[" + ",\n".join(texts) + "]",
        "object": '{"data": [' + ", ".join(texts) + "]}",
    }[layout]
    report_on(text.encode(), tmp_path)


@slow_is_fine
@given(
    cells=st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=4), min_size=1, max_size=5),
    header=st.sampled_from(["question,answer", "messages;split", "text", "prompt\tchosen\trejected", ""]),
    delimiter=st.sampled_from(",;\t"),
)
def test_any_table_gives_a_report(tmp_path, cells, header, delimiter):
    lines = [header, *(delimiter.join(row) for row in cells)]
    report_on("\n".join(lines).encode("utf-8", "surrogatepass"), tmp_path, "table.csv")


@slow_is_fine
@given(data=st.data())
def test_a_mutated_real_file_gives_a_report(tmp_path, data):
    path = data.draw(st.sampled_from(REAL))
    content = bytearray(path.read_bytes()[:60_000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.sampled_from([0, 1, 2, 10, 1000]))
        content[at : at + length] = data.draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    report_on(bytes(content), tmp_path, path.name)


def broken(content: bytes, data) -> bytes:
    """A few bytes are others, and perhaps the end is missing."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    return bytes(content)


@slow_is_fine
@given(data=st.data())
def test_mutated_gzip_files_give_a_report(tmp_path, data):
    report_on(broken(gzip.compress(EQ_12_JSONL.read_bytes()[:50_000]), data), tmp_path)


@settings(slow_is_fine, max_examples=60 if os.environ.get("APEX_TEST_LONG") == "1" else 15)
@given(data=st.data())
def test_mutated_parquet_files_give_a_report(tmp_path, data):
    """Each is read by a process of its own, so that a run draws fifteen; with APEX_TEST_LONG=1 sixty."""
    report_on(broken(parquet([chat(), chat("b?")]), data), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b'{"messages": [{"role": "user", "content": "' + b"x" * 60_000_000,
        b'[{"a": "' + b"x" * 60_000_000,
        b"question,answer\n" + b'a,"' + b"x" * 60_000_000,
        b"Q: a\nA: " + b"x" * 60_000_000,
        b'{"data": [' + b'{"x": 1},' * 10_000,
        b'{"a": ' + b"[" * 60_000_000,
    ],
    ids=["line", "list", "cell", "dialogue", "unknown rows", "brackets"],
)
def test_memory_does_not_grow_with_the_file(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    del content
    tracemalloc.start()
    report = check_file(path, "file", checks={})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.verdict == "reject"
    assert peak < 120_000_000
