"""Every known format becomes chat rows; whatever else is in a file becomes a fault with its line."""

import gzip
import io
import json
import time
import zipfile

import pytest

from datasets_app.formats.base import WARNINGS_KEPT
from datasets_app.importing import import_rows
from datasets_app.reading import FAULTS_KEPT, read_examples
from tests.datasets_app.files import EQ_12_JSON, EQ_12_JSONL, chat, chats, json_lines, pair


@pytest.fixture
def read(tmp_path):
    """Reads text or bytes as if they were a file: (rows, reading)."""

    def run(content):
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        reading = read_examples(path)
        return list(reading), reading

    return run


def words(row):
    return [(message["role"], message["content"]) for message in row["messages"]]


ASKED = ("user", "What are your hours?")
ANSWERED = ("assistant", "From 9 to 17.")


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("messages", chat()),
        ("turns", {"turns": chat()["messages"], "conversation_id": "a"}),
        ("alpaca", {"instruction": "What are your hours?", "input": "", "output": "From 9 to 17."}),
        ("alpaca", {"instruction": "What are your hours?", "response": "From 9 to 17."}),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": ASKED[1]}, {"from": "gpt", "value": ANSWERED[1]}]},
        ),
        ("sharegpt", {"conversations": chat()["messages"]}),
        ("prompt-completion", {"prompt": "What are your hours?", "completion": " From 9 to 17."}),
        ("prompt-completion", {"question": "What are your hours?", "answer": "From 9 to 17."}),
        ("prompt-completion", {"prompt": chat()["messages"][:1], "completion": chat()["messages"][1:]}),
    ],
)
@pytest.mark.parametrize("container", ["jsonl", "array", "pretty array", "object", "wrapped", "windows"])
def test_each_format_is_recognised_in_each_container(read, name, record, container):
    text = {
        "jsonl": json_lines(record, record),
        "array": json.dumps([record, record]),
        "pretty array": json.dumps([record, record], indent=2),
        "object": json.dumps(record, indent=2),
        "wrapped": json.dumps({"info": 1, "data": [record, record]}, indent=2),
        "windows": "\ufeff" + json_lines(record, record).replace("\n", "\r\n") + "\r\n",
    }[container]
    rows, reading = read(text)
    assert reading.format == name
    assert reading.fault_count == 0, reading.faults
    assert [words(row) for row in rows] == [[ASKED, ANSWERED]] * (1 if container == "object" else 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prompt-completion", 'question,answer\n"What are your hours?",From 9 to 17.\n'),
        ("prompt-completion", "\ufeffQuestion;Answer\r\nWhat are your hours?;From 9 to 17.\r\n"),
        ("prompt-completion", "sep=;\r\nFrage;Antwort\r\nWhat are your hours?;From 9 to 17.\r\n"),
        ("prompt-completion", "prompt\tcompletion\nWhat are your hours?\tFrom 9 to 17.\n"),
        ("alpaca", "id,output,instruction\n1,From 9 to 17.,What are your hours?\n"),
        ("alpaca", "instruction,input,output\nWhat are,your hours?,From 9 to 17.\n"),
        ("prompt-completion", "What are your hours?\tFrom 9 to 17.\n"),
        ("prompt-completion", '\n"What are your hours?","From 9 to 17."\n\n'),
    ],
)
def test_tables_are_read_with_any_separator_and_usual_names(read, name, text):
    rows, reading = read(text)
    assert reading.format == name
    assert reading.running.container == "csv"
    assert reading.fault_count == 0, reading.faults
    assert [("user", words(rows[0])[0][1].replace("\n\n", " ")), words(rows[0])[1]] == [ASKED, ANSWERED]


def test_a_table_without_known_names_warns_that_its_first_line_may_be_a_header(read):
    rows, reading = read("Anliegen;Brief\nWann ist offen?;Von 9 bis 17 Uhr.\n")
    assert len(rows) == 2
    assert [(fault.line, fault.severity) for fault in reading.faults] == [(1, "warning")]


def test_table_rows_with_line_breaks_keep_physical_line_numbers(read):
    rows, reading = read('question,answer\n"a\nb",c\nlonely\nd,e\n"f",\n')
    assert [row["line"] for row in rows] == [2, 5]
    assert [(fault.line, fault.severity) for fault in reading.faults] == [(4, "error"), (6, "error")]
    assert "1 column where 2 were expected" in reading.faults[0].problem


def test_a_table_tells_split_conversation_and_instructions(read):
    rows, _ = read("system,question,answer,split,conversation\nBe kind.,a?,b,held_out,k1\n,c?,d,,k1\n")
    assert words(rows[0])[0] == ("system", "Be kind.")
    assert [(row["split"], row["conversation"]) for row in rows] == [("held_out", "k1"), (None, "k1")]


def test_questions_and_answers_in_plain_text_are_read(read):
    text = "\ufeffQ: What are your hours?\r\nA: From 9 to 17.\r\n\r\n"
    text += "User: Two?\nmore\nAssistant: a\n\nb\nQ: And?\nA: c\n"
    rows, reading = read(text)
    assert (reading.format, reading.fault_count) == ("dialogue", 0)
    assert [row["line"] for row in rows] == [1, 4]
    assert words(rows[0]) == [ASKED, ANSWERED]
    assert words(rows[1]) == [
        ("user", "Two?\nmore"),
        ("assistant", "a\n\nb"),
        ("user", "And?"),
        ("assistant", "c"),
    ]


def test_a_typed_question_without_an_answer_names_its_line(read):
    rows, reading = read("Q: a?\nA: b\n\nQ: c?\nA:\n\nQ: d?\nA: e\n")
    assert [row["line"] for row in rows] == [1, 7]
    assert (reading.faults[0].line, reading.left_out) == (4, 1)


def test_alpaca_joins_input_and_history(read):
    record = {
        "instruction": "Translate.",
        "input": "Hund",
        "output": "dog",
        "system": "You translate.",
        "history": [["Hi", "Hello"]],
    }
    rows, _ = read(json.dumps(record))
    assert words(rows[0]) == [
        ("system", "You translate."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Translate.\n\nHund"),
        ("assistant", "dog"),
    ]


def test_split_and_conversation_of_a_chat_row_are_kept(read):
    rows, _ = read(
        json_lines(chat(split="held_out", conversation="c1"), chat("b?", split="train"), chat("c?"))
    )
    assert [row["split"] for row in rows] == ["held_out", "train", None]
    assert rows[0]["conversation"] == "c1"
    assert rows[1]["conversation"] != rows[2]["conversation"]


def test_rows_that_ask_the_same_are_one_conversation(read):
    rows, _ = read(json_lines(chat(answer="a"), chat(answer="b"), chat("Other?")))
    assert rows[0]["conversation"] == rows[1]["conversation"] != rows[2]["conversation"]


def test_an_answer_of_weight_0_stays_context(read):
    rows, _ = read(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b", "weight": 0},
                    {"role": "user", "content": "c"},
                    {"role": "assistant", "content": "d", "weight": 1},
                ]
            }
        )
    )
    assert [message.get("weight") for message in rows[0]["messages"]] == [None, 0, None, None]


def test_content_parts_become_one_text_and_pictures_are_refused(read):
    parts = [{"type": "text", "text": "What are "}, {"type": "text", "text": "your hours?"}]
    picture = [{"type": "image_url", "image_url": {"url": "x"}}]
    rows, reading = read(json_lines(chat(parts), chat(picture)))
    assert words(rows[0])[0] == ASKED
    assert "image_url" in reading.faults[0].problem


# --- brightrun ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", [EQ_12_JSON, EQ_12_JSONL])
def test_the_real_eq_12_gives_44_samples_with_each_user_turn_once(path):
    reading = read_examples(path)
    rows = list(reading)
    assert reading.format == "brightrun-lora-v4"
    assert len(rows) == 44
    assert reading.fault_count == 0
    assert len({row["conversation"] for row in rows}) == 12
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["system", *["user", "assistant"] * ((len(roles) - 1) // 2)]
        asked = [message["content"] for message in row["messages"] if message["role"] == "user"]
        assert len(asked) == len(set(asked))
        assert [m.get("weight", 1) for m in row["messages"] if m["role"] == "assistant"][:-1] == [0] * (
            len(asked) - 1
        )


def test_json_and_jsonl_of_eq_12_give_the_same_rows():
    both = [
        [(row["messages"], row["conversation"]) for row in read_examples(path)]
        for path in (EQ_12_JSON, EQ_12_JSONL)
    ]
    assert both[0] == both[1]


def test_eq_12_counts_turns_without_a_target_as_skipped_and_tells_true_lines():
    reading = read_examples(EQ_12_JSON)
    rows = list(reading)
    assert sum(reading.skipped.values()) == 89 - 44
    lines = EQ_12_JSON.read_text().splitlines()
    for row in rows:
        # A pair begins with its brace; its id is on the next line, its target before the next pair.
        assert lines[row["line"] - 1].strip() == "{"
        assert '"id"' in lines[row["line"]]


def test_a_single_conversation_file_is_read(read):
    content = {
        "dataset_metadata": {"conversation_id": "u-1"},
        "consultant_profile": {},
        "training_pairs": [pair()],
    }
    rows, reading = read(json.dumps(content, indent=1))
    assert reading.format == "brightrun-lora-v4"
    assert rows[0]["conversation"] == "u-1"
    assert words(rows[0])[-2:] == [("user", "And in turn 2?"), ("assistant", "In turn 2 too.")]


def test_version_5_is_accepted_with_a_warning_and_meta_is_no_sample(read):
    rows, reading = read(json_lines({"_meta": {"format_spec": "brightrun-lora-v5"}}, pair(), pair(4)))
    assert len(rows) == 2
    assert [(fault.line, fault.severity) for fault in reading.faults] == [(1, "warning")]
    assert "brightrun-lora-v5" in reading.faults[0].problem
    whole = {
        "training_file_metadata": {"format_spec": "brightrun-lora-v5"},
        "conversations": [{"conversation_metadata": {"conversation_id": "u-1"}, "training_pairs": [pair()]}],
    }
    rows, reading = read(json.dumps(whole))
    assert (len(rows), reading.fault_count) == (1, 1)


@pytest.mark.parametrize("target", [None, "", "  "])
def test_a_pair_without_a_target_is_skipped_not_faulty(read, target):
    rows, reading = read(json_lines(pair(), pair(3, target_response=target)))
    assert (len(rows), reading.fault_count, sum(reading.skipped.values())) == (1, 0, 1)


def test_a_file_of_null_targets_only_is_refused_in_words(read):
    rows, reading = read(json_lines(pair(target_response=None)))
    assert rows == []
    assert "no example to learn from" in reading.refusal.problem


@pytest.mark.parametrize(
    ("target", "said"), [("You called it \\", "lone backslash"), ("First.\\nSecond.", "two characters \\n")]
)
def test_damaged_targets_are_kept_with_a_warning(read, target, said):
    rows, reading = read(json_lines(pair(target_response=target)))
    assert len(rows) == 1
    assert reading.faults[0].severity == "warning"
    assert said in reading.faults[0].problem


def test_a_syntax_error_in_a_full_file_names_line_and_column(read):
    text = EQ_12_JSON.read_text().replace('"total_conversations": 12,', '"total_conversations": 12\\\\,', 1)
    rows, reading = read(text)
    assert rows == []
    assert "line 10, column 30" in reading.refusal.problem


# --- faults -----------------------------------------------------------------------------------------------------
GOOD = json.dumps(chat())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"messages": [', "Not valid JSON in line 2, column"),
        ('{"messages": [{"role": "user", "content": "a', "not closed"),
        (GOOD[:-1] + ', "x": NaN}', "NaN is not a JSON value"),
        (GOOD[:-1] + ', "x": -Infinity}', "-Infinity"),
        ('{"x":' + "[" * 100_000 + "]" * 100_000 + "}", "nested"),
        (GOOD[:-1] + ', "x": ' + "9" * 5000 + "}", "number"),
        ('"just text"', "This is text, expected an object"),
        ("[1, 2]", "This is a list"),
        ("{}", "an empty object"),
        ('{"color": "red"}', "“color”"),
        ('{"messages": "hello"}', "“messages” is text, expected a list"),
        ('{"messages": []}', "empty list"),
        ('{"messages": ["hello"]}', "Message 1 is text"),
        ('{"messages": [{"content": "a"}]}', "Message 1 has no “role”"),
        ('{"messages": [{"role": "user"}]}', "Message 1 has no “content”"),
        (GOOD.replace("assistant", "bing"), "bing"),
        (GOOD.replace('"assistant"', "7"), "role '7'"),
        (json.dumps(chat(answer="")), "the answer, is empty"),
        (json.dumps(chat("")), "the question, is empty"),
        (json.dumps(chat(answer=None)), "is null, expected text"),
        (json.dumps(chat(answer={"a": 1})), "is an object, expected text"),
        (json.dumps({"messages": [{"role": "user", "content": "a"}]}), "no answer"),
        (json.dumps({"messages": [{"role": "assistant", "content": "a"}]}), "no question"),
        (json.dumps(chat(split="test")), "“split” is 'test'"),
        (GOOD.replace("hours", "\\ud83d"), "half of a character"),
        (
            GOOD.replace("{", '{"messages": [{"role": "system", "content": "s"}], "x": {', 1) + "}",
            "no answer",
        ),
        ('{"conversations": [{"from": "alien", "value": "a"}]}', "alien"),
        ('{"conversations": [{"value": "a"}]}', "without “from” or “value”"),
        ('{"conversations": ["a"]}', "Turn 1 is text"),
        ('{"instruction": "a", "output": ""}', "“output” is empty"),
        ('{"instruction": "", "output": "b"}', "“instruction” is empty"),
        ('{"instruction": "a", "output": "b", "history": [["x"]]}', "not a pair"),
        ('{"prompt": "a", "completion": null}', "“completion” is null"),
        ('{"prompt": " ", "completion": "b"}', "there is no question"),
        (json.dumps(pair(conversation_history="x")), "expected a list"),
        (json.dumps(pair(conversation_history=[1])), "is a number"),
        (json.dumps(pair(current_user_input="")), "“current_user_input” is empty"),
    ],
)
@pytest.mark.parametrize("container", ["jsonl", "array"])
def test_a_bad_row_costs_itself_and_names_its_line(read, bad, said, container):
    if container == "array":
        text = "[\n" + bad + ",\n" + GOOD + "\n]"
    else:
        text = GOOD + "\n" + bad + "\n" + GOOD + "\n"
    rows, reading = read(text)
    assert rows, reading.faults
    assert words(rows[-1]) == [ASKED, ANSWERED]
    assert reading.left_out >= 1
    fault = reading.faults[0]
    assert fault.severity == "error"
    if container == "array":  # a record of a list goes by its number
        assert fault.line == 1
        assert "record 1, line 2" in fault.problem
    elif not fault.problem.startswith("Not valid JSON"):
        assert fault.line == 2
    assert said in fault.problem
    assert fault.mend


def test_a_comma_after_a_line_is_named(read):
    rows, reading = read(GOOD + ",\n" + GOOD)
    assert len(rows) == 1
    assert "something follows" in reading.faults[0].problem


def test_bad_bytes_cost_one_row_and_are_named(read):
    rows, reading = read(GOOD.encode() + b"\n" + GOOD.replace("hours", "h\xfcrs").encode("latin-1") + b"\n")
    assert len(rows) == 1
    assert (reading.faults[0].line, reading.faults[0].severity) == (2, "error")
    assert "0xFC" in reading.faults[0].problem
    assert "UTF-8" in reading.faults[0].mend
    json.dumps(reading.faults[0].as_dict()).encode("utf-8")


def test_a_table_in_windows_1252_is_read_and_says_so(read):
    rows, reading = read("question,answer\nWie geht’s?,Gut\nä?,ö\n".encode("cp1252"))
    assert [words(row)[0][1] for row in rows] == ["Wie geht’s?", "ä?"]
    assert [(fault.code, fault.severity) for fault in reading.faults] == [("other_encoding", "warning")]
    assert "Windows-1252" in reading.faults[0].problem


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("text", [GOOD + "\n" + GOOD, "Frage\tAntwort\nWas?\tDas.\nWo?\tDa.\n"])
def test_wide_encodings_are_recognised_and_read(read, encoding, text):
    rows, reading = read(text.encode(encoding))
    assert len(rows) == 2
    assert [(fault.line, fault.code) for fault in reading.faults] == [(None, "other_encoding")]


def test_turns_that_do_not_alternate_are_tidied_with_a_warning(read):
    messages = [
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "left open"},
    ]
    rows, reading = read(json.dumps({"messages": messages}))
    assert words(rows[0]) == [("user", "a\n\nb"), ("assistant", "c")]
    assert {fault.severity for fault in reading.faults} == {"warning"}
    assert reading.fault_count == 4


def test_many_questions_in_a_row_are_joined_and_told_of_a_few_times(read):
    rows, reading = read("\n".join(["Q: first", *(f"Q: {number}" for number in range(50)), "A: yes"]))
    assert words(rows[0]) == [("user", "\n\n".join(["first", *map(str, range(50))])), ("assistant", "yes")]
    assert reading.fault_count == WARNINGS_KEPT


def test_a_repeated_turn_is_left_out_after_a_join_too(read):
    messages = [{"role": "user", "content": text} for text in ("a", "b", "b  ", "a")]
    rows, _ = read(json.dumps({"messages": [*messages, {"role": "assistant", "content": "c"}]}))
    assert words(rows[0])[0] == ("user", "a\n\nb\n\na")


def test_a_broken_record_in_a_list_does_not_take_its_neighbours_along(read):
    records = [json.dumps(chat(f"Question {number}?")) for number in range(6)]
    records[2] = records[2][:-1] + " oops }"
    rows, reading = read("[\n" + ",\n".join(records) + "\n]")
    assert [row["line"] for row in rows] == [1, 2, 4, 5, 6]
    assert reading.left_out == 1


def test_a_hostile_list_ends_soon(read):
    rows, reading = read("[" + GOOD + ',\n{"x":' + '[\n{"x":' * 50_000)
    assert len(rows) == 1
    assert "What follows could not be read" in reading.faults[-1].problem


@pytest.mark.parametrize(
    "hostile",
    [
        "[" + '{"a" x' + "\n" * 200_000,
        "[" + '{"a":[\n' * 900 + "1," * 500_000 + "x",
        "[" + '{"a":[\n' * 900 + '"' + "x" * 1_000_000,
        "[" + (GOOD + ',{"messages":[\n' + GOOD + ",\n") * 5_000,
        "[" + (GOOD + ",\n{x},\n") * 30_000 + "]",
        "[" + GOOD + ",{x}" * 500_000 + "]",
        "Q: 0\nA: 0\nQ: 0\n" + "Q: 1\nQ: 2\n" * 100_000,
    ],
    ids=["newlines", "nested", "open text", "nested records", "faults", "only faults", "questions"],
)
def test_what_is_made_to_take_long_ends_soon(read, hostile):
    begun = time.process_time()
    read(hostile)
    assert time.process_time() - begun < 8  # about 1 s; quadratic ways took up to minutes


def test_good_records_behind_a_fault_are_read_whatever_their_length(read):
    records = [json.dumps(chat("x" * length)) for length in range(16_200, 16_400)]
    records += [json.dumps(chat("y" * 300_000, "é" * 1000)), GOOD[:-1] + " oops }", GOOD]
    rows, reading = read("[\n{x},\n" + ",\n".join(records) + "\n]")
    assert [len(words(row)[0][1]) for row in rows] == [*range(16_200, 16_400), 300_000, len(ASKED[1])]
    assert [fault.line for fault in reading.faults] == [1, 203]
    assert f"line 204, column {len(GOOD) + 1}" in reading.faults[1].problem


def test_a_list_that_was_cut_off_keeps_what_came(read):
    rows, reading = read("[\n" + GOOD + ",\n" + GOOD[:40])
    assert len(rows) == 1
    assert (reading.faults[0].line, reading.faults[0].code) == (2, "truncated_json")
    assert "line 3" in reading.faults[0].problem


def test_objects_one_after_another_are_read(read):
    rows, reading = read(json.dumps(chat("a?"), indent=2) + "\n" + json.dumps(chat("b?"), indent=2))
    assert [words(row)[0][1] for row in rows] == ["a?", "b?"]
    assert reading.fault_count == 0


def test_a_bad_first_line_does_not_hide_the_rest(read):
    rows, reading = read('{"messages": [\n' + GOOD + "\n" + GOOD)
    assert len(rows) == 2
    assert reading.faults[0].line == 1


def test_all_faults_are_counted_and_some_are_kept(read):
    rows, reading = read("\n".join([GOOD, *["{"] * (FAULTS_KEPT + 50)]))
    assert len(rows) == 1
    assert len(reading.faults) == FAULTS_KEPT
    assert reading.fault_count == reading.left_out == FAULTS_KEPT + 50


def test_more_rows_than_an_import_takes_on_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets_app.importing.ROWS_MOST", 3)
    (tmp_path / "file").write_text(chats(5))
    reading = import_rows(tmp_path / "file", tmp_path / "rows").reading
    assert "more than 3 examples" in reading.refusal.problem


# --- whole files --------------------------------------------------------------------------------------------------
def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name in names:
            zipped.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n\r\n\t", "white space"),
        (b"\xef\xbb\xbf", "white space"),
        (gzip.compress(b"{}", mtime=0), "an empty object"),
        (gzip.compress(b"", mtime=0), "nothing inside the gzip"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "another gzip"),
        (archive("xl/workbook.xml"), "Excel"),
        (archive("word/document.xml"), "Word"),
        (archive("content.xml"), "OpenDocument"),
        (archive("a.jsonl"), "zip"),
        (b"PK\x03\x04 broken", "zip"),
        (b"PAR1\x00\x01", "Parquet"),
        (b"%PDF-1.7", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1", "Office"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\x00\x01\x02\x03", "not a text file"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b'\xef\xbb\xbf  <html lang="en">', "web page"),
        (
            b"Dear all,\n\nthis is a letter, and no table.\nIt has several lines,\nwith, many, commas.\n",
            "Dear all",
        ),
        (b"name,age,town\nAnn,3,Ulm\nBob,4,Bonn\n", "“name”, “age”, “town”"),
        (b"[]", "no example in it"),
        (b"[1, 2", "no usable example"),
        (b'{"a": 1}', "“a”"),
        (b'{"messages": [{"role": "user"', "Not valid JSON"),
        (b"{", "Not valid JSON"),
        (b'{"x":' + b"[" * 100_000, "nested"),
        (b"null", "begins with “null”"),
        (b"question,answer\n", "no example in it"),
    ],
)
def test_a_file_of_no_use_is_refused_in_words(read, content, said):
    rows, reading = read(content)
    assert rows == []
    assert reading.refusal is not None
    assert reading.refusal.severity == "refusal"
    assert said in reading.refusal.problem
    assert reading.refusal.mend
    assert reading.faults[0] == reading.refusal


def test_a_broken_first_line_does_not_hide_the_good_ones(tmp_path):
    good = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}'
    path = tmp_path / "examples.jsonl"
    path.write_text(f"not json\n{good}\n")
    reading = read_examples(path)
    assert len(list(reading)) == 1 and reading.format == "messages"
    assert [fault.line for fault in reading.faults] == [1]


def test_a_key_that_no_file_can_hold_is_no_key(read):
    text = json.dumps({"conversation_metadata": {"conversation_id": "\ud800"}, "training_pairs": [pair()]})
    rows, _ = read(text)
    assert len(rows) == 1
    assert rows[0]["conversation"] == "fp_conversation"
