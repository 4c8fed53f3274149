"""A file of examples, whatever its format, as chat rows and faults. No Django inside."""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import msgspec

from . import sniffing
from .faults import ERROR, REFUSAL, WARNING, Fault
from .formats import brightrun, dialogue, recognise, two_columns
from .formats.base import BadRow, Example, Skipped, excerpt, kind_of
from .formats.unknown import TWO_SHAPES, quoted, unknown_row
from .json_text import Broken, Decoder, Found, iterate_array, iterate_lines, iterate_members, skip_space

FAULTS_KEPT = 200
# What one reading takes on: beyond it a request would last minutes, and no adapter needs so many.
ROWS_MOST = 500_000
SAMPLE_BYTES = 256 * 1024
SURROGATE = re.compile("[\ud800-\udfff]")
WRAPPERS = ("data", "examples", "rows", "train", "items")

UNKNOWN_HEADER = BadRow(
    "The first line may be a header, but its names are not known, so it was read as an example.",
    "If it is a header, name the columns “question” and “answer”.",
)


@dataclass
class Reading:
    """The rows of one file. Iterate once; everything else is complete when the iteration has ended.

    Yields chat rows as in docs/architecture.md, except that `split` is None where the file does not say.
    Faults beyond FAULTS_KEPT are counted only. `refusal` is set when nothing usable was found.
    """

    path: Path
    file_name: str = ""
    format: str = ""
    row_count: int = 0
    left_out: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    refusal: Fault | None = None
    _formats: Counter[str] = field(default_factory=Counter, repr=False)
    _unknown: dict[str, Any] = field(default_factory=dict, repr=False)
    _unknown_count: int = field(default=0, repr=False)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        wrong = sniffing.refusal_of(self.path)
        if wrong:
            self.refuse(*wrong)
            return
        for row in self._rows():
            yield row
            if self.row_count > ROWS_MOST:
                self.refuse(
                    f"It holds more than {ROWS_MOST:,} examples.",
                    "Bring a part of them; fewer, better ones teach more.",
                )
                return
        if self._formats:
            self.format = self._formats.most_common(1)[0][0]
        if not self.row_count and self.refusal is None:
            self._refuse_for_want_of_rows()

    # --- the containers -----------------------------------------------------------------------------------
    def _rows(self) -> Iterator[dict[str, Any]]:
        with open(self.path, "rb") as file:
            sample = file.read(SAMPLE_BYTES)
        start = sample.decode("utf-8", "surrogateescape").lstrip("\ufeff \t\r\n")[:1]
        if start == "[":
            text = self._text()
            yield from self._of_records(iterate_array(text, text.index("["), _line_of(text, text.index("["))))
        elif start == "{":
            yield from self._of_objects()
        elif self._is_json_lines():  # a first line that is broken must not hide the good ones below it
            with open(self.path, "rb") as file:
                yield from self._of_records(iterate_lines(file))
        else:
            yield from self._of_text(sample)

    def _text(self) -> str:
        return self.path.read_bytes().decode("utf-8", "surrogateescape")

    def _of_objects(self) -> Iterator[dict[str, Any]]:
        """A file that begins with `{`: JSON Lines, one object, or objects one after another."""
        if self._is_json_lines():
            with open(self.path, "rb") as file:
                yield from self._of_records(iterate_lines(file))
            return
        text = self._text()
        start = text.index("{")
        line = _line_of(text, start)
        first = Decoder().decode_at(text, start, line)
        if isinstance(first, Broken):
            self.refuse(first.fault.problem, first.fault.mend, line=first.line, found=first.fault.found)
        elif skip_space(text, first.end) < len(text):
            yield from self._of_records(iterate_array(text, start, line))
        elif brightrun.is_file(first.value):
            self._formats[brightrun.NAME] += 1
            yield from self._of_brightrun(text, first)
        elif recognise(first.value) is None and (wrapper := _wrapper_of(first.value)):
            members = iterate_members(text, start, line)
            at, at_line = next((at, ln) for name, at, ln, _ in members if name == wrapper)
            yield from self._of_records(iterate_array(text, at, at_line))
        else:
            yield from self._of_records(iter([first]))

    def _is_json_lines(self) -> bool:
        """Whether one of the first lines is an object by itself, and not the whole file."""
        objects = lines = 0
        with open(self.path, "rb") as file:
            for found in iterate_lines(file):
                lines += 1
                objects += isinstance(found, Found) and isinstance(found.value, dict)
                if objects and lines > 1:
                    return True
                if lines > 20:
                    break
        return False

    def _of_brightrun(self, text: str, whole: Found) -> Iterator[dict[str, Any]]:
        """The pairs of a full file or of a single conversation's, each under its conversation's uuid."""
        metadata = whole.value.get("training_file_metadata") or whole.value.get("dataset_metadata")
        self._warn_of_version(metadata, None)
        for name, at, line, _ in iterate_members(text, whole.start, whole.line):
            if name == "training_pairs":
                yield from self._of_pairs(text, at, line, _uuid_of(metadata))
            elif name == "conversations":
                for conversation in iterate_array(text, at, line):
                    yield from self._of_conversation(text, conversation)

    def _of_conversation(self, text: str, conversation: Found | Broken) -> Iterator[dict[str, Any]]:
        value = conversation.value if isinstance(conversation, Found) else None
        if (
            isinstance(conversation, Broken)
            or not isinstance(value, dict)
            or not isinstance(value.get("training_pairs"), list)
        ):
            self._note(
                conversation.line, BadRow("A conversation has no list “training_pairs”.", "Add its pairs.")
            )
            return
        key = _uuid_of(value.get("conversation_metadata"))
        for name, at, line, _ in iterate_members(text, conversation.start, conversation.line):
            if name == "training_pairs":
                yield from self._of_pairs(text, at, line, key)

    def _of_pairs(self, text: str, at: int, line: int, key: str | None) -> Iterator[dict[str, Any]]:
        if text[at] != "[":
            self._note(line, BadRow("“training_pairs” is not a list.", "Write it as a list of pairs."))
            return
        for found in iterate_array(text, at, line):
            yield from self._of_record(found, key)

    def _of_text(self, sample: bytes) -> Iterator[dict[str, Any]]:
        text = sample.decode("utf-8", "surrogateescape").lstrip("\ufeff")
        layout = None
        is_dialogue = dialogue.fits(text)
        if not is_dialogue:
            layout = two_columns.find_layout(text, len(sample) < SAMPLE_BYTES)
        with io.TextIOWrapper(
            open(self.path, "rb"), encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            if is_dialogue:
                yield from self._of_dialogue(file)
            elif layout is not None:
                yield from self._of_csv(file, layout)
            else:
                self._refuse_text(text)

    def _of_dialogue(self, file: TextIO) -> Iterator[dict[str, Any]]:
        self._formats[dialogue.NAME] += 1
        for line, turns in dialogue.iterate(file):
            try:
                yield self._row(line, dialogue.to_example(turns))
            except BadRow as fault:
                self._note(line, fault)

    def _of_csv(self, file: TextIO, layout: two_columns.Layout) -> Iterator[dict[str, Any]]:
        self._formats[two_columns.NAME] += 1
        records = two_columns.iterate(file, layout)
        if layout.names is not None:
            next(records, None)
        for line, fields in records:
            if isinstance(fields, BadRow):
                self._note(line, fields)
                continue
            if line == 1 and two_columns.looks_like_header(fields) and layout.names is None:
                self._note(line, UNKNOWN_HEADER, WARNING)
            try:
                yield self._row(line, two_columns.to_example(fields, layout))
            except BadRow as fault:
                self._note(line, fault)

    # --- one record ---------------------------------------------------------------------------------------
    def _of_records(self, records: Iterator[Found | Broken]) -> Iterator[dict[str, Any]]:
        for found in records:
            yield from self._of_record(found, None)

    def _of_record(self, found: Found | Broken, key: str | None) -> Iterator[dict[str, Any]]:
        """The chat row of a record, or none and a fault."""
        if isinstance(found, Broken):
            self._note(found.line, found.fault)
            return
        record = found.value
        if not isinstance(record, dict):
            fault = BadRow(
                f"This is {kind_of(record)}, expected an object in {{…}}.", "Write one object an example."
            )
            self._note(found.line, fault)
            return
        if "_meta" in record:
            self._warn_of_version(record["_meta"], found.line)
            return
        module = recognise(record)
        if module is None:
            self._unknown_count += 1
            self._unknown = self._unknown or record
            self._note(found.line, unknown_row(record))
            return
        self._formats[module.NAME] += 1
        try:
            for example in _examples_of(module, record, key):
                yield self._row(found.line, example)
        except Skipped as reason:
            self.skipped[reason.reason] += 1
        except BadRow as fault:
            self._note(found.line, fault)

    def _row(self, line: int, example: Example) -> dict[str, Any]:
        self.row_count += 1
        for warning in example.warnings:
            self._note(line, warning, WARNING)
        return {
            **example.content,
            "conversation": example.conversation or _key_of(example.content["messages"]),
            "line": line,
            "split": example.split,
        }

    # --- faults -------------------------------------------------------------------------------------------
    def _note(self, line: int | None, fault: BadRow, severity: str = ERROR) -> None:
        self.fault_count += 1
        self.left_out += severity == ERROR
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(Fault(line, fault.problem, fault.mend, severity, fault.found, fault.code))

    def _warn_of_version(self, metadata: Any, line: int | None) -> None:
        if warning := brightrun.version_warning(metadata):
            self._note(line, BadRow(*warning), WARNING)

    def refuse(self, problem: str, mend: str, *, line: int | None = None, found: str = "") -> None:
        """Marks the whole file as unusable."""
        self.refusal = Fault(line, problem, mend, REFUSAL, found)
        self.faults.insert(0, self.refusal)
        self.fault_count += 1

    def _refuse_for_want_of_rows(self) -> None:
        if self._unknown_count and self._unknown_count == self.left_out:
            fault = unknown_row(self._unknown, is_whole_file=True)
            self.refuse(f"No known format fits. {fault.problem}", fault.mend)
            return
        skipped = sum(self.skipped.values())
        if skipped and not self.left_out:
            self.refuse(
                f"There is no example to learn from: all {skipped} rows were left out "
                f"({', '.join(self.skipped)}).",
                "Bring rows that have an answer.",
            )
            return
        if self.left_out:
            self.refuse(
                "There is no usable example in it: each one has a fault.",
                "Mend the faults, first that of the first line.",
            )
        else:
            self.refuse("There is no example in it.", "Bring at least one question and its answer.")

    def _refuse_text(self, text: str) -> None:
        names = two_columns.header_of(text)
        if len(names) > 1:
            found = "The first line has the columns " + quoted(names)
        else:
            found = f"It begins with “{excerpt(text.strip(), width=60)}”"
        self.refuse(
            f"No known format fits. {found}.",
            f"Bring {dialogue.SHAPE}, {two_columns.SHAPE}, or JSON such as {TWO_SHAPES}.",
        )


def read_examples(path: Path | str, file_name: str = "") -> Reading:
    """The examples in a file, recognised by content. Nothing is read before the first iteration; never raises
    for what is in the file. `file_name` is for people only."""
    return Reading(Path(path), file_name)


def _examples_of(module: ModuleType, record: dict[str, Any], key: str | None) -> list[Example]:
    try:
        return module.to_examples(record, key)
    except RecursionError as error:
        raise BadRow("It is nested too deep.", "Leave out this record.") from error


def _key_of(messages: list[dict[str, Any]]) -> str:
    """Rows that ask the same thing count as one conversation, so that no test question was learned from."""
    return hashlib.blake2b(msgspec.json.encode(messages[:-1]), digest_size=9).hexdigest()


def _uuid_of(metadata: Any) -> str | None:
    """The key that the metadata gives; None also for one that no UTF-8 file can hold."""
    value = metadata.get("conversation_id") if isinstance(metadata, dict) else None
    if not isinstance(value, str) or not value.strip() or SURROGATE.search(value):
        return None
    return value[:200]


def _line_of(text: str, position: int) -> int:
    return 1 + text.count("\n", 0, position)


def _wrapper_of(record: dict[str, Any]) -> str | None:
    """The name under which one object wraps a list of records."""
    for name in WRAPPERS:
        if isinstance(record.get(name), list) and any(isinstance(item, dict) for item in record[name][:3]):
            return name
    return None
