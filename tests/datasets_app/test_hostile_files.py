"""Files that are made to cost time or memory: each is read in a moment, and in little of it."""

import collections
import gzip
import json
import resource
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_app.containers.parquet_rows import rows_of
from datasets_app.containers.parquet_sizes import portions_of
from datasets_app.reading import check_file

MOMENT = 15  # seconds, on a machine that is busy; what grows with the square of the size takes minutes


def chat(question: str) -> str:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]
    return json.dumps({"messages": messages}) + "\n"


# One text of a row, of some 600 KB, by what it is full of.
TEXTS = {
    "addresses": "a@bc.co ",
    "numbers of cards": "4111 1111 1111 1111 , ",
    "beginnings of a token": "eyJ-",
    "parts of a token": "eyJaaaaaaaaaaaa.",
    "beginnings of a key": "-----BEGIN PRIVATE KEY-----",
    "digits": "1 (",
}


@pytest.mark.parametrize("unit", TEXTS.values(), ids=TEXTS)
def test_a_text_full_of_what_may_be_private_is_checked_in_a_moment(tmp_path, unit):
    file = tmp_path / "chats.jsonl"
    file.write_text(chat("Hello") + chat(unit * (600_000 // len(unit))))
    began = time.monotonic()
    report = check_file(file)
    assert time.monotonic() - began < MOMENT
    assert report.rows == 2


FILES = {
    "questions without answers": ("talk.txt", "Q: Who?\nA: Me.\n\n", "Q:\n\n"),
    "a quotation mark that is never closed": ("talk.csv", 'question,answer\n"', "\n"),
    "very many columns": ("talk.csv", "a,b\n1,2\n", "c,"),
    "very many names": ("talk.csv", "name,", "c,d,"),
    "broken quotation marks": ("talk.csv", "question,answer\n", '"a" b,c\n'),
}


@pytest.mark.parametrize("name, start, unit", FILES.values(), ids=FILES)
def test_the_same_fault_over_and_over_is_read_in_a_moment(tmp_path, name, start, unit):
    file = tmp_path / name
    file.write_text(start + unit * (600_000 // len(unit)))
    began = time.monotonic()
    assert check_file(file).error_count
    assert time.monotonic() - began < MOMENT


def test_what_follows_a_quotation_mark_that_is_never_closed_is_read(tmp_path):
    file = tmp_path / "talk.csv"
    file.write_text('question,answer\n"' + "\n" * 150_000 + "Who?,Me.\n")
    report = check_file(file)
    assert report.rows == 1
    assert [error["line"] for error in report.errors] == [2]
    assert "quotation marks" in report.errors[0]["message"]


def test_a_talk_without_an_end_costs_itself_and_no_memory(tmp_path):
    file = tmp_path / "talk.txt"
    file.write_text(
        "Q: Who?\nA: Me.\n\nQ: And then?\nA: So\n" + "on\n" * 1_200_000 + "\nQ: Where?\nA: Here.\n"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = check_file(file)
    assert report.rows == 2
    assert [(error["line"], error["code"]) for error in report.errors] == [(4, "line_too_long")]
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_a_turn_of_nothing_but_spaces_costs_no_memory(tmp_path):
    file = tmp_path / "turns.jsonl"
    text = "<|im_start|>user\nHi<|im_end|>" + " " * 6_000_000 + "<|im_start|>assistant\nYes<|im_end|>"
    file.write_text((json.dumps({"text": text}) + "\n") * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check_file(file).rows == 2
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def one_long_text(count: int, characters: int) -> pa.Array:
    """The same text `count` times, written once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["a" * characters]))


def parquet_bomb(name: str) -> pa.Table:
    """Gigabytes, in a file of some kilobytes."""
    if name == "a dictionary with one long text":
        return pa.table({"prompt": one_long_text(500, 20_000_000), "completion": ["b"] * 500})
    if name == "a list that says a text very often":
        said = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), one_long_text(100_000, 900_000))
        return pa.table({"messages": said})
    if name == "a list of nothing":
        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        return pa.table({"messages": pa.array([[None] * 2_000_000], pa.list_(message))})
    return pa.table({"prompt": ["a" * 50_000_000] * 5, "completion": ["b"] * 5})


@pytest.mark.parametrize(
    "name, code",
    [
        ("a dictionary with one long text", "line_too_long"),
        ("a list that says a text very often", "line_too_long"),
        ("a list of nothing", "line_too_long"),
        ("long texts that pack well", "compression_bomb"),
    ],
)
def test_a_small_parquet_file_of_gigabytes_is_refused_in_little_memory(tmp_path, name, code):
    file = tmp_path / "chats.parquet"
    pq.write_table(parquet_bomb(name), file, compression="zstd", use_dictionary=not name.startswith("long"))
    assert file.stat().st_size < 100_000
    began = time.monotonic()
    report = check_file(file)
    assert time.monotonic() - began < MOMENT
    assert report.verdict == "reject"
    assert code in report.counts
    if sys.platform == "linux":
        # Here, what its own process does elsewhere.
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open(file, "rb") as opened:
            collections.deque(rows_of(opened), maxlen=0)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_rows_of_every_kind_are_measured_before_they_are_made():
    columns = {
        "text": pa.array(["a" * 1000, None, "b"]),
        "same": pa.array(["c" * 100, "d", None]).dictionary_encode(),
        "list": pa.array([["e", "f" * 10], None, []]),
        "map": pa.array([[("k", "v")], None, [("a", "b"), ("c", "d")]], pa.map_(pa.string(), pa.string())),
        "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
        "object": pa.array([{"a": "g" * 50}, None, {"a": None}]),
    }
    batch = pa.record_batch(columns)
    whole = [each.values.to_pylist() for each in portions_of(batch, 100_000)]
    assert whole == [batch.to_pylist()]
    parts = list(portions_of(batch.slice(1), 900))
    assert [row for part in parts for row in part.values.to_pylist()] == batch.to_pylist()[1:]
    [first, *others] = portions_of(batch, 1500)
    assert (first.count, first.values) == (1, None)
    assert sum(each.count for each in others) == 2


@pytest.mark.parametrize("start", [b"", b'{"text": "', b"[", chat("Hello").encode(), b"PAR1", b"Q: "])
@pytest.mark.parametrize("filling", [b"a", b"\n", b" ", b"[", b"\x00"])
def test_what_unpacks_to_gigabytes_is_called_by_its_name(tmp_path, start, filling):
    file = tmp_path / "chats.jsonl.gz"
    # Members one behind the other are one stream.
    file.write_bytes(gzip.compress(start) + gzip.compress(filling * 1_000_000) * 100)
    report = check_file(file)
    assert (report.verdict, report.errors[0]["code"]) == ("reject", "compression_bomb")


def test_text_that_packs_very_well_is_no_bomb(tmp_path):
    file = tmp_path / "chats.jsonl.gz"
    file.write_bytes(gzip.compress(chat("Hello").encode() * 20_000, 9))
    assert check_file(file).rows == 20_000
