"""Types of files: the same records come out of each, with lines that can be found again."""

import gzip
import io
import json
import sys

import pytest

from datasets_app.containers import base, lines
from datasets_app.containers import parquet as parquet_container
from datasets_app.reading import check_file, read_examples
from tests.datasets_app.fault_cases import parquet
from tests.datasets_app.files import EQ_12_JSON, chat, chats, json_lines, pair

QUESTION, ANSWER = "What are your hours?", "From 9 to 17."


class Streamed:
    """A source that cannot go back, and gives few bytes at a time."""

    name, size, is_seekable = "streamed", None, False

    def __init__(self, content: bytes, step: int = 1000) -> None:
        self.content, self.step, self.opened = content, step, 0

    def open(self):
        self.opened += 1
        return Slow(self.content, self.step)


class Slow(io.RawIOBase):
    def __init__(self, content: bytes, step: int) -> None:
        self._file, self._step = io.BytesIO(content), step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, self._step) if size > 0 else self._step)


def rows_of(source, **wishes):
    reading = read_examples(source, **wishes)
    return list(reading), reading


@pytest.fixture
def file(tmp_path):
    def make(content):
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def table_of(rows: list[dict]) -> str:
    return "question\tanswer\n" + "".join(f"{row['prompt']}\t{row['completion']}\n" for row in rows)


PAIRS = [{"prompt": f"Question {number}?", "completion": f"Answer {number}."} for number in range(50)]
EACH = {
    "jsonl": json_lines(*PAIRS).encode(),
    "json": json.dumps(PAIRS, indent=1).encode(),
    "wrapped": json.dumps({"about": {"rows": 50}, "data": PAIRS, "end": [1]}).encode(),
    "one after another": "\n".join(json.dumps(row, indent=1) for row in PAIRS).encode(),
    "table": table_of(PAIRS).encode(),
    "UTF-16": table_of(PAIRS).encode("utf-16"),
    "parquet": parquet(PAIRS),
    "gzip": gzip.compress(json_lines(*PAIRS).encode()),
    "gzip in two members": b"".join(
        gzip.compress((json_lines(*rows) + "\n").encode()) for rows in (PAIRS[:20], PAIRS[20:])
    )
    + bytes(512),
    "Parquet in gzip": gzip.compress(parquet(PAIRS)),
}


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("step", [None, 1000, 7])
def test_the_same_rows_come_out_of_each_type_however_the_bytes_arrive(name, step, file):
    source = file(EACH[name]) if step is None else Streamed(EACH[name], step)
    rows, reading = rows_of(source)
    assert reading.refusal is None
    assert [row["messages"][0]["content"] for row in rows] == [row["prompt"] for row in PAIRS]
    assert len({row["line"] for row in rows}) == 50
    assert [fault.code for fault in reading.faults if fault.code != "other_encoding"] == []


@pytest.mark.parametrize("piece", [1, 2, 5, 100])
def test_lines_are_the_same_however_they_are_cut(piece, monkeypatch):
    monkeypatch.setattr(base, "RECORD_BYTES_MOST", 20)
    content = b"a\n\nbb\n" + b"x" * 21 + b"\nc\n" + b"y" * 500 + b"\nd\n" + b"z" * 20 + b"\ne"
    found = []
    for each in lines.pieces_of(io.BytesIO(content), piece):
        found += [each] if isinstance(each, lines.LongLine) else list(lines.lines_of(each))
    short = [each for each in found if isinstance(each, tuple)]
    long = [(each.line, each.size) for each in found if isinstance(each, lines.LongLine)]
    assert short == [(1, b"a"), (2, b""), (3, b"bb"), (5, b"c"), (7, b"d"), (8, b"z" * 20), (9, b"e")]
    assert long == [(4, 21), (6, 500)]


def test_eq_12_streamed_gives_the_lines_of_the_file():
    content = EQ_12_JSON.read_bytes()
    there, _ = rows_of(EQ_12_JSON)
    streamed, _ = rows_of(Streamed(content, 5000))
    assert streamed == there
    text = content.decode().splitlines()
    assert all(text[row["line"] - 1].strip() == "{" for row in streamed)


def test_a_list_tells_record_and_line(file):
    report = check_file(file("[\n" + json.dumps(chat()) + ",\n" + '{"messages": []}\n]'))
    assert [fault["line"] for fault in report.errors] == [2]
    assert "(record 2, line 3)" in report.errors[0]["message"]


def test_a_list_that_is_cut_off_tells_line_and_column_of_the_place(file):
    whole = json.dumps([chat("What is it?"), chat("And that?")], indent=2)
    cut = whole[: whole.rindex("And that?") + 3]
    report = check_file(file(cut))
    line = cut.count("\n") + 1
    column = cut.rsplit("\n", 1)[1].rindex('"') + 1
    (error,) = report.errors
    assert f"line {line}, column {column}: a text that begins here" in error["problem"]
    assert error["found"].endswith('"And')


def test_parquet_rows_are_numbered_and_hold_messages_with_tools(file):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "9 to 17", "tool_call_id": "c1"},
        {"role": "assistant", "content": ANSWER},
    ]
    rows, reading = rows_of(file(parquet([{"messages": messages}, {"messages": []}])))
    assert (len(rows), reading.format) == (1, "messages")
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert [(fault.line, fault.code) for fault in reading.faults] == [(2, "no_messages")]


def test_cells_may_hold_messages_as_json(file):
    cell = json.dumps(chat()["messages"]).replace('"', '""')
    rows, reading = rows_of(file(f'id,messages\n1,"{cell}"\n'))
    assert (reading.format, rows[0]["messages"][1]["content"]) == ("messages", ANSWER)


def test_a_prompt_that_looks_like_json_stays_text(file):
    rows, _ = rows_of(file('prompt\tcompletion\n{"a": 1}\t[1, 2]\n'))
    assert [message["content"] for message in rows[0]["messages"]] == ['{"a": 1}', "[1, 2]"]


def test_a_quotation_mark_that_is_never_closed_costs_one_row(file):
    rows, reading = rows_of(file('question,answer\na?,"b\n' + "c?,d\n" * 20))
    assert len(rows) == 20
    assert [(fault.line, fault.code) for fault in reading.faults] == [(2, "unbalanced_quotes")]


def test_items_of_a_list_and_numbers_are_no_formulas(file):
    rows, reading = rows_of(
        file("question\tanswer\na?\t- one\nb?\t-5 degrees\nc?\t+49 7 31\nd?\t=)\ne?\t@ann said so\n")
    )
    assert (len(rows), reading.fault_count) == (5, 0)


@pytest.mark.parametrize("cell", ["=1+1", "=SUM(A1)", "@SUM(A1)", "-cmd|' /C calc'!A0", "#NAME?"])
def test_formulas_are_named(cell, file):
    _, reading = rows_of(file(f"question\tanswer\na?\t{cell}\n"))
    assert [fault.code for fault in reading.faults] == ["formula_cell"]


def test_columns_that_a_person_named_are_read(file):
    path = file("Anliegen;Brief;Ton\nWann?;Um 9.;freundlich\nWo?;;kurz\n")
    rows, reading = rows_of(path, mapping={"question": "Anliegen", "answer": "Brief", "system": "Ton"})
    assert [message["content"] for message in rows[0]["messages"]] == ["freundlich", "Wann?", "Um 9."]
    assert [(fault.line, fault.code) for fault in reading.faults] == [(3, "empty_text")]
    _, reading = rows_of(path, mapping={"question": "Anliegen", "answer": "gone"})
    assert {fault.code for fault in reading.faults[1:]} == {"missing_field"}
    rows, reading = rows_of(file(json_lines({"q": "a?", "a": "b"})), mapping={"question": "q", "answer": "a"})
    assert (len(rows), reading.fault_count) == (1, 0)


def test_texts_are_taken_from_a_text_file_and_when_asked_for(file):
    path = file("First paragraph,\nof two lines.\n\n\nSecond one.\n")
    for wishes in ({"file_name": "book.txt"}, {"format": "text"}):
        rows, reading = rows_of(path, **wishes)
        assert reading.kind == "text"
        assert [(row["line"], row["text"]) for row in rows] == [
            (1, "First paragraph,\nof two lines."),
            (5, "Second one."),
        ]
    _, reading = rows_of(path)
    assert reading.refusal.code == "unknown_format"


def test_chatml_text_is_cut_into_conversations(file):
    one = "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
    rows, reading = rows_of(file(one + "\n" + one))
    assert (reading.format, [row["line"] for row in rows]) == ("chatml", [1, 6])


def test_a_reference_to_version_5_warns_once_whatever_the_size(file):
    conversations = [
        {"conversation_metadata": {"conversation_id": f"u-{number}"}, "training_pairs": [pair()]}
        for number in range(300)
    ]
    whole = {"training_file_metadata": {"format_spec": "brightrun-lora-v5"}, "conversations": conversations}
    rows, reading = rows_of(file(json.dumps(whole)))
    assert len({row["conversation"] for row in rows}) == 300
    assert [fault.code for fault in reading.faults] == ["newer_version"]


def test_a_source_is_opened_once_and_read_to_its_end():
    source = Streamed(chats(10).encode())
    assert check_file(source, checks={}).rows == 10
    assert source.opened == 1


@pytest.mark.parametrize("dies", ["import os; os.abort()", "import sys; sys.exit(3)"])
def test_a_parquet_file_that_ends_its_reader_costs_nothing_else(tmp_path, monkeypatch, dies):
    path = tmp_path / "rows.parquet"
    path.write_bytes(parquet([{"prompt": "a", "completion": "b"}]))
    monkeypatch.setattr(parquet_container, "READER", [sys.executable, "-c", dies])
    report = check_file(path)
    assert (report.verdict, report.rows) == ("reject", 0)
    assert [error["code"] for error in report.errors] == ["corrupt_parquet"]
