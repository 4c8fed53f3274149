"""What can be wrong with a file of examples: one fault, and the codes that reports, pages and docs share.

`docs/datasets.md` lists all codes; a test holds the two together. No Django inside.
"""

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, REFUSAL = "error", "warning", "refusal"


@dataclass(frozen=True)
class Fault:
    """What is wrong and how to mend it.

    `line` is the physical line where the record begins (None: the file as a whole). `severity` is "error"
    (the row was left out), "warning" (the row was kept) or "refusal" (the file cannot be used). `code` is one of CODES.
    """

    line: int | None
    problem: str
    mend: str
    severity: str = ERROR
    found: str = ""
    code: str = "bad_row"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# code → what it means, in a few words.
CODES: dict[str, str] = {
    # The file as a whole
    "empty_file": "nothing in it, or white space only",
    "unreadable": "a file that is not there, is a directory, or may not be read",
    "not_text": "a picture, a program, a document: no text with examples",
    "archive": "several files packed into one (zip, tar, 7z, rar)",
    "office_file": "an Excel or Word file, whatever its name",
    "web_page": "HTML or XML in place of data",
    "git_lfs_pointer": "a Git LFS pointer in place of the data",
    "wrong_encoding": "neither UTF-8 nor an encoding that can be told for sure",
    "other_encoding": "UTF-16 or UTF-32, recognised and read",
    "byte_order_mark": "a byte order mark where none belongs",
    "corrupt_compression": "a gzip file that is damaged or cut off",
    "compression_bomb": "a compressed file that grows beyond all measure",
    "corrupt_parquet": "a Parquet file that is damaged or cut off",
    "too_large": "more bytes than are taken",
    "too_many_rows": "more rows than are taken",
    "unknown_format": "rows of no known shape",
    "unsupported_format": "a known shape that nothing here can learn from",
    "openai_batch": "lines of an OpenAI batch, which are questions to ask, not examples",
    "mixed_formats": "rows of several shapes in one file",
    "newer_version": "a newer version of a known format",
    "misnamed": "the name says another kind of file than the content",
    "no_rows": "no usable example",
    # Text and JSON
    "bad_encoding": "bytes that are not UTF-8",
    "lone_surrogate": "half of a character",
    "control_character": "control characters in a text",
    "damaged_text": "letters broken by a wrong encoding on the way",
    "nul_character": "a NUL character",
    "invalid_json": "not valid JSON",
    "truncated_json": "JSON that ends too early",
    "extra_data": "something after the end of a record",
    "pretty_printed": "JSON over several lines in a file of JSON lines",
    "double_encoded": "JSON inside a string",
    "nan_number": "NaN or Infinity, which JSON does not have",
    "huge_number": "a number beyond what can be kept",
    "too_deep": "lists or objects nested too deep",
    "line_too_long": "a line or record beyond what is read at once",
    "duplicate_key": "the same name twice in one object",
    "not_an_object": "a record that is no object",
    # Tables
    "ragged_row": "more or fewer columns than the header has",
    "unbalanced_quotes": "quotation marks that do not match",
    "formula_cell": "a cell that a spreadsheet would run as a formula",
    "header_missing": "a first line that may or may not be a header",
    "header_trouble": "names of columns that are empty or there twice",
    # Rows
    "bad_row": "a row that cannot be used",
    "missing_field": "a field that is needed is not there",
    "wrong_type": "a value of another kind than expected",
    "empty_text": "an empty question or answer",
    "null_content": "null where a text is expected",
    "no_messages": "no messages at all",
    "unknown_role": "a role that is not known",
    "role_order": "turns in an order that cannot be",
    "repeated_turn": "the same turn twice",
    "no_answer": "nothing of the assistant's to learn from",
    "no_question": "an answer without a question",
    "image_content": "pictures or sound, which are not learned from",
    "content_part": "a part of a message that is not text",
    "bad_tool_call": "a tool call or a list of tools that is malformed",
    "tool_call_without_result": "a tool call that nothing answers",
    "tool_result_without_call": "a tool's answer that nobody asked for",
    "bad_weight": "a weight other than 0 or 1",
    "nothing_learned": "every answer is marked as context",
    "bad_split": "a split that is not known",
    "bad_label": "a label that says neither good nor bad",
    "equal_answers": "a chosen and a rejected answer that are the same",
    "different_prompts": "a chosen and a rejected conversation that do not begin alike",
    "bad_ranking": "an order of answers that does not fit them",
    "cut_text": "an answer that stops in the middle",
    "literal_line_break": "the two characters \\n in place of a line break",
    "wrong_count": "a header that counts other rows than there are",
    "placeholder": "a placeholder such as {{name}} that nobody filled in",
    # Across rows
    "exact_duplicate": "the same example again",
    "near_duplicate": "nearly the same example again",
    "contradiction": "the same question with different answers",
    "split_overlap": "held-out examples that are also learned from",
    "too_long": "longer than what many models read at once",
    "secret": "a password, key or token",
    "personal_data": "names a person's address, number or account",
    "benchmark_item": "a known test question",
}
