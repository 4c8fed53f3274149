# ruff: noqa: E501 (a table reads best with one case a line)
"""One small file for each class of fault, of our own making. `python -m tests.datasets_app.fault_cases` prints the
table that docs/datasets.md shows."""

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from datasets_app.checking import CHECKS
from datasets_app.reading import Report, check_file
from tests.datasets_app.files import chat, json_lines, pair

GOOD = json.dumps(chat())
OTHER = json.dumps(chat("Where are you?", "In Ulm, by the river."))
TABLE = "question,answer\nWhat are your hours?,From 9 to 17.\n"


class Case(NamedTuple):
    """A class of fault, the file that shows it, and what is said: verdict, rows, and (line, code) of each fault."""

    about: str
    file: str
    content: str | bytes
    verdict: str
    rows: int
    faults: list[tuple[int | None, str]]


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD)
    return out.getvalue()


def tarred(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(GOOD)
        archive.addfile(entry, io.BytesIO(GOOD.encode()))
    return out.getvalue()


def parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def said(*messages: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]})


PICTURE = [{"type": "image_url", "image_url": {"url": "x"}}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
CALLED = {
    "messages": [
        {"role": "user", "content": "What are your hours?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "From 9 to 17."},
    ]
}
BATCH = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": chat()}
REJECT, WARN = "reject", "warn"

WHOLE_FILES = [
    Case("nothing in it", "empty.jsonl", b"", REJECT, 0, [(None, "empty_file")]),
    Case("white space only", "blank.jsonl", b" \n\r\n\t", REJECT, 0, [(None, "empty_file")]),
    Case("a program", "tool.jsonl", b"\x7fELF\x02\x01\x01\x00" * 9, REJECT, 0, [(None, "not_text")]),
    Case("a picture", "chats.jsonl", b"\x89PNG\r\n\x1a\n\x00\x00", REJECT, 0, [(None, "not_text")]),
    Case("an archive", "chats.zip", zipped("a.jsonl"), REJECT, 0, [(None, "archive")]),
    Case("path tricks", "tricks.zip", zipped("../../etc/passwd"), REJECT, 0, [(None, "archive")]),
    Case("path tricks in tar.gz", "tricks.tar.gz", tarred("/etc/passwd"), REJECT, 0, [(None, "archive")]),
    Case("xlsx renamed", "table.csv", zipped("xl/workbook.xml"), REJECT, 0, [(None, "office_file")]),
    Case("HTML error page", "page.jsonl", "<!DOCTYPE html><title>Sign in</title>", REJECT, 0, [(None, "web_page")]),
    Case("XML error page", "data.jsonl", "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", REJECT, 0, [(None, "web_page")]),
    Case(
        "Git LFS pointer",
        "pointer.jsonl",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        REJECT,
        0,
        [(None, "git_lfs_pointer")],
    ),
    Case("gzip bomb", "bomb.json.gz", gzip.compress(b"[" + b" " * 80_000_000), REJECT, 0, [(None, "compression_bomb")]),
    Case("gzip, cut off", "cut.jsonl.gz", gzip.compress((GOOD + "\n").encode())[:-9], REJECT, 1, [(None, "corrupt_compression")]),
    Case("gzip in gzip", "twice.gz", gzip.compress(gzip.compress(GOOD.encode())), REJECT, 0, [(None, "archive")]),
    Case("corrupt Parquet", "corrupt.parquet", b"PAR1" + bytes(50) + b"PAR1", REJECT, 0, [(None, "corrupt_parquet")]),
    Case("OpenAI batch lines", "batch.jsonl", json_lines(BATCH), REJECT, 0, [(None, "openai_batch"), (1, "openai_batch")]),
    Case("unknown columns", "people.csv", "name,age,town\nAnn,3,Ulm\n", REJECT, 0, [(None, "unknown_format")]),
    Case("unknown names", "odd.jsonl", '{"colour": "red"}', REJECT, 0, [(None, "unknown_format"), (1, "unknown_format")]),
]  # fmt: skip

TEXT = [
    Case("UTF-16", "wide.jsonl", f"{GOOD}\n{OTHER}".encode("utf-16"), WARN, 2, [(None, "other_encoding")]),
    Case("UTF-32 without mark", "wide.jsonl", GOOD.encode("utf-32-le"), WARN, 1, [(None, "other_encoding")]),
    Case("Excel's ANSI", "ansi.csv", "Frage;Antwort\nWo?;Am Römer\n".encode("cp1252"), WARN, 1, [(None, "other_encoding")]),
    Case("Latin-1 among UTF-8", "mixed.jsonl", GOOD.encode() + b"\n" + OTHER.replace("U", "\xdc").encode("latin-1"), REJECT, 1, [(2, "bad_encoding")]),
    Case("no UTF-8 at all", "kanji.csv", "question,answer\n営業時間?,九時から\n".encode("shift-jis"), REJECT, 0, [(None, "wrong_encoding"), (2, "bad_encoding")]),
    Case("BOM inside", "joined.jsonl", f"{GOOD}\n\ufeff{OTHER}", WARN, 2, [(2, "byte_order_mark")]),
    Case("NUL in a text", "nul.jsonl", GOOD + "\n" + OTHER.replace("Ulm", "\\u0000"), REJECT, 1, [(2, "nul_character")]),
    Case("NUL between", "nul.jsonl", GOOD + "\n\x00\x00\n" + OTHER, REJECT, 2, [(2, "nul_character")]),
    Case("control character", "bell.jsonl", GOOD.replace("hours", "\\u0007"), WARN, 1, [(1, "control_character")]),
    Case("bare control character", "tab.jsonl", GOOD.replace("hours", "\t"), REJECT, 0, [(1, "control_character")]),
    Case("lone surrogate", "half.jsonl", GOOD + "\n" + OTHER.replace("Ulm", "\\ud83d"), REJECT, 1, [(2, "lone_surrogate")]),
]  # fmt: skip

JSON = [
    Case("broken JSON", "broken.jsonl", f'{GOOD}\n{{"messages": [}}\n{OTHER}', REJECT, 2, [(2, "invalid_json")]),
    Case("truncated", "cut.jsonl", f"{GOOD}\n{OTHER[:40]}", REJECT, 1, [(2, "truncated_json")]),
    Case("two records on a line", "joined.jsonl", f"{GOOD}\n{OTHER}{OTHER}", REJECT, 1, [(2, "extra_data")]),
    Case("comma at the line's end", "commas.jsonl", f"{GOOD},\n{OTHER}", REJECT, 1, [(1, "extra_data")]),
    Case("commas at all ends", "commas.jsonl", f"{GOOD},\n{OTHER},\n", REJECT, 0, [(None, "no_rows"), (1, "extra_data"), (2, "extra_data")]),
    Case("comma before the end of a list", "list.json", f"[{GOOD},\n{OTHER},\n]", WARN, 2, [(2, "invalid_json")]),
    Case("a comment", "noted.jsonl", f"// mine\n{GOOD}", REJECT, 1, [(1, "invalid_json")]),
    Case("quotation marks of print", "typed.jsonl", GOOD + "\n" + OTHER.replace('"', "“"), REJECT, 1, [(2, "invalid_json")]),
    Case("pretty-printed lines", "pretty.jsonl", json.dumps(chat(), indent=1) + "\n" + json.dumps(chat("b?"), indent=1), WARN, 2, [(None, "pretty_printed")]),
    Case("array named .jsonl", "list.jsonl", f"[{GOOD},\n{OTHER}]", WARN, 2, [(None, "misnamed")]),
    Case("CSV named .jsonl", "table.jsonl", TABLE, WARN, 1, [(None, "misnamed")]),
    Case("two lists", "lists.json", f"[{GOOD}]\n[{OTHER}]", WARN, 2, [(2, "extra_data")]),
    Case("JSON inside a string", "twice.jsonl", f"{GOOD}\n{json.dumps(OTHER)}", REJECT, 1, [(2, "double_encoded")]),
    Case("Python in place of JSON", "python.jsonl", f"{GOOD}\n{chat('b?')}", REJECT, 1, [(2, "invalid_json")]),
    Case("NaN", "nan.jsonl", f'{GOOD}\n{OTHER[:-1]}, "score": NaN}}', REJECT, 1, [(2, "nan_number")]),
    Case("huge number", "huge.jsonl", f'{GOOD}\n{OTHER[:-1]}, "score": 1e999}}', REJECT, 1, [(2, "huge_number")]),
    Case("number of 5,000 digits", "long.jsonl", f'{GOOD}\n{OTHER[:-1]}, "id": {"9" * 5000}}}', REJECT, 1, [(2, "huge_number")]),
    Case("very deep nesting", "deep.jsonl", f'{GOOD}\n{{"x": {"[" * 500}{"]" * 500}}}', REJECT, 1, [(2, "too_deep")]),
    Case("very long line", "long.jsonl", f'{GOOD}\n{{"x": "{"y" * 17_000_000}"}}\n{OTHER}', REJECT, 2, [(2, "line_too_long")]),
    Case("duplicate keys", "keys.jsonl", f'{GOOD}\n{OTHER[:-1]}, "messages": []}}', REJECT, 1, [(2, "duplicate_key")]),
    Case("a list in place of an object", "lists.jsonl", f"{GOOD}\n[1, 2]", REJECT, 1, [(2, "not_an_object")]),
    Case("a list, cut off", "cut.json", f"[{GOOD},\n{OTHER},\n", REJECT, 2, [(3, "truncated_json")]),
    Case("mixed formats", "mixed.jsonl", json_lines(chat(), {"instruction": "Say a.", "output": "a"}), WARN, 2, [(2, "mixed_formats")]),
    Case("no worse answer", "pairs.jsonl", json_lines({"prompt": "a?", "chosen": "b", "rejected": "c"}, {"prompt": "d?", "chosen": "e"}), REJECT, 1, [(2, "missing_field")]),
    Case("mixed kinds", "kinds.jsonl", json_lines(chat(), {"prompt": "a?", "chosen": "b", "rejected": "c"}), REJECT, 1, [(2, "mixed_formats")]),
]  # fmt: skip

TABLES = [
    Case("ragged rows", "ragged.csv", TABLE + "Where, please?,In Ulm.\n", REJECT, 1, [(3, "ragged_row")]),
    Case("quotes that do not match", "quotes.csv", TABLE + 'Who?,"He said "yes".\nWhere?,Ulm\n', REJECT, 2, [(3, "unbalanced_quotes")]),
    Case("formula cells", "formula.csv", TABLE + 'Sum?,"=SUM(A1:A9)"\n', WARN, 2, [(3, "formula_cell")]),
    Case("header without known names", "letters.csv", "Anliegen;Brief\nWann?;Um neun.\n", WARN, 2, [(1, "header_missing")]),
    Case("columns without a name", "header.csv", "question,,answer\na?,1,b\n", WARN, 1, [(1, "header_trouble")]),
    Case("a column twice", "header.csv", "question,answer,answer\na?,b,c\n", WARN, 1, [(1, "header_trouble")]),
]  # fmt: skip

ROWS = [
    Case("no messages", "none.jsonl", f'{GOOD}\n{{"messages": []}}', REJECT, 1, [(2, "no_messages")]),
    Case("unknown role", "role.jsonl", GOOD + "\n" + said(("narrator", "a"), ("assistant", "b")), REJECT, 1, [(2, "unknown_role")]),
    Case("misordered roles", "order.jsonl", GOOD + "\n" + said(("user", "a"), ("user", "b"), ("assistant", "c")), WARN, 2, [(2, "role_order")]),
    Case("no answer", "asked.jsonl", GOOD + "\n" + said(("user", "a")), REJECT, 1, [(2, "no_answer")]),
    Case("empty content", "empty.jsonl", GOOD + "\n" + said(("user", "a"), ("assistant", " ")), REJECT, 1, [(2, "empty_text")]),
    Case("null content", "null.jsonl", GOOD + "\n" + said(("user", "a"), ("assistant", None)), REJECT, 1, [(2, "null_content")]),
    Case("a picture in a message", "picture.jsonl", GOOD + "\n" + said(("user", PICTURE), ("assistant", "b")), REJECT, 1, [(2, "image_content")]),
    Case("tool call without result", "tools.jsonl", json_lines(GOOD, CALLED), REJECT, 1, [(2, "tool_call_without_result")]),
    Case("cut answer", "cut.jsonl", json_lines(pair(target_response="You called it \\")), WARN, 1, [(1, "cut_text")]),
    Case("newer version", "v5.jsonl", json_lines({"_meta": {"format_spec": "brightrun-lora-v5"}}, pair()), WARN, 1, [(1, "newer_version")]),
]  # fmt: skip

ACROSS = [
    Case("longer than what models read", "long.jsonl", json_lines(chat(answer="word " * 8000)), WARN, 1, [(1, "too_long")]),
    Case("exact duplicate", "twice.jsonl", f"{GOOD}\n{GOOD}", WARN, 2, [(2, "exact_duplicate")]),
    Case("contradiction", "both.jsonl", json_lines(GOOD, chat(answer="Never.")), WARN, 2, [(2, "contradiction")]),
    Case("split overlap", "split.jsonl", json_lines(chat(split="train"), chat(split="held_out")), WARN, 2, [(2, "exact_duplicate"), (2, "split_overlap")]),
    Case("a secret", "key.jsonl", json_lines(chat(answer="Use AKIA" + "QWERTYUIOPASDFGH")), WARN, 1, [(1, "secret")]),
    Case("personal data", "mail.jsonl", json_lines(chat(answer="Ask ann.miller@posteo.de.")), WARN, 1, [(1, "personal_data")]),
]  # fmt: skip

SECTIONS = {
    "The file as a whole": WHOLE_FILES,
    "Text and encodings": TEXT,
    "JSON": JSON,
    "Tables": TABLES,
    "Rows": ROWS,
    "Across rows": ACROSS,
}


def report_on(case: Case, folder: Path) -> Report:
    path = folder / case.file
    path.write_bytes(
        case.content.encode("utf-8", "surrogatepass") if isinstance(case.content, str) else case.content
    )
    return check_file(path, case.file, checks=CHECKS)


def line_of_table(case: Case, report: Report) -> str:
    """The case as the docs show it: its first fault in full, the others by line and code."""
    faults = report.errors + report.warnings
    places = ", ".join(f"{fault['line'] or 'file'}: `{fault['code']}`" for fault in faults)
    message = faults[0]["message"].replace("|", "\\|").replace("<", "&lt;") if faults else ""
    message = message if len(message) < 240 else message[:239] + "…"
    return f"| {case.about} | `{case.file}` | {report.verdict} | {report.rows} | {places} | {message} |"


def tables() -> str:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, cases in SECTIONS.items():
            lines += [
                f"### {name}",
                "",
                "| class of fault | file | verdict | rows | line: code | message |",
                "|---|---|---|---|---|---|",
            ]
            lines += [line_of_table(case, report_on(case, Path(folder))) for case in cases]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
