"""The running account of one file: each record becomes rows, or a fault; in the end there is a verdict."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from datasets_app.checking.base import Check
from datasets_app.containers import json_lines
from datasets_app.containers.base import Broken, Found
from datasets_app.containers.json_lines import text_in_place_of_a_record
from datasets_app.containers.lines import Lines, LongLine
from datasets_app.faults import ERROR, REFUSAL, WARNING, Fault
from datasets_app.formats import FORMATS, brightrun, recognise
from datasets_app.formats.base import BadRow, Example, Skipped, excerpt, kind_of
from datasets_app.formats.unknown import quoted, unknown_row

from .mapping import SAMPLES, columns_of, mapped
from .mix_ups import openai_batch
from .report import ACCEPT, LISTED_MOST, REJECT, UNKNOWN, WARN, Report, entry_of, mend_of_all
from .rows import key_of, refuse_odd_characters

FAULTS_KEPT = 200
# Rows of no known shape are told apart by so many names, and described in full for so many shapes.
NAMES_COMPARED, UNKNOWN_SHAPES_MOST = 20, 1000


class Running:
    """What is known of a file so far. Feed it with `take` (one record) or `add_lines` (many), then `finish`.

    `faults` are the first FAULTS_KEPT in the order met, a refusal first; `errors` and `warnings` are kept up to
    LISTED_MOST; everything is counted.
    """

    def __init__(
        self,
        *,
        format: str | None = None,
        mapping: Mapping[str, str] | None = None,
        checks: Mapping[str, Callable[[], Check]] | None = None,
    ) -> None:
        self.asked_format = format
        self.mapping = {role: column for role, column in (mapping or {}).items() if column}
        self.checks: dict[str, Check] = {name: make() for name, make in (checks or {}).items()}
        self.container = UNKNOWN
        self.kind = ""
        self.first_format = ""
        self.row_count = self.left_out = self.fault_count = self.error_count = self.warning_count = 0
        self.formats: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.errors: list[Fault] = []
        self.warnings: list[Fault] = []
        self.refusal: Fault | None = None
        self.columns: dict[str, list[str]] = {}
        self._unknown: list[dict[str, Any]] = []
        self._unknown_count = 0
        self._unknown_code = ""
        self._unknown_faults: dict[tuple[str, ...], BadRow] = {}

    @property
    def format(self) -> str:
        """The format of most rows; of equally many, that which came first."""
        return self.formats.most_common(1)[0][0] if self.formats else ""

    # --- records --------------------------------------------------------------------------------------------
    def add_lines(self, piece: Lines | LongLine) -> None:
        """All records of a piece of JSON Lines, without their rows."""
        for found in json_lines.records_of(piece):
            for _ in self.take(found):
                pass

    def take(self, found: Found | Broken) -> Iterator[dict[str, Any]]:
        """The rows of a record, or none and a fault."""
        if isinstance(found, Broken):
            self._take_broken(found)
            return
        for remark in found.remarks:
            self.note(found.line, remark, WARNING, found.place)
        try:
            for name, example in self._examples(found):
                row = self._row(found, name, example)
                if row is not None:
                    yield row
        except Skipped as reason:
            self.skipped[reason.reason] += 1
        except BadRow as fault:
            self.note(found.line, fault, ERROR, found.place)

    def _take_broken(self, broken: Broken) -> None:
        if broken.severity == REFUSAL:
            fault = broken.fault
            self.refuse(fault.problem, fault.mend, line=broken.line, found=fault.found, code=fault.code)
        else:
            self.note(broken.line, broken.fault, broken.severity, broken.place)

    def _examples(self, found: Found) -> Iterator[tuple[str, Example]]:
        """(format, example) of each example in a record; raises BadRow, Skipped."""
        record = found.value
        if found.format is not None:
            yield found.format, FORMATS[found.format].to_example(record)
            return
        if isinstance(record, str):
            raise text_in_place_of_a_record(record)
        if not isinstance(record, dict):
            raise BadRow(
                f"This is {kind_of(record)}, expected an object in {{…}}.",
                "Write one object an example.",
                code="not_an_object",
            )
        if "_meta" in record:
            if warning := brightrun.version_warning(record["_meta"]):
                self.note(found.line, BadRow(*warning, code="newer_version"), WARNING, found.place)
            return
        if self.mapping:
            record = mapped(record, self.mapping)
        module = self._module_of(record)
        try:
            for example in module.to_examples(record, found.key):
                yield module.NAME, example
        except RecursionError as error:
            raise BadRow("It is nested too deep.", "Leave out this record.", code="too_deep") from error

    def _module_of(self, record: dict[str, Any]) -> ModuleType:
        """The format of a record; raises BadRow when there is none."""
        if self.asked_format is None:
            module = recognise(record)
            if module is not None:
                return module
            fault = openai_batch(record) or self._unknown_fault(record)
        else:
            module = FORMATS[self.asked_format]
            if module.fits(record):
                return module
            names = ", ".join(f"“{excerpt(str(name), width=40)}”" for name in list(record)[:10]) or "nothing"
            fault = BadRow(
                f"Its names are {names}; this is not the format “{self.asked_format}”.",
                f"Write it as {module.SHAPE}, or choose another format.",
                code="unknown_format",
            )
        self._unknown_count += 1
        self._unknown_code = self._unknown_code or fault.code
        if len(self._unknown) < SAMPLES:
            self._unknown.append(record)
        raise fault

    def _unknown_fault(self, record: dict[str, Any]) -> BadRow:
        """Words for a row of no known shape; looked for once for the same names, as millions of rows may have them."""
        if "rejection_reason" in record:
            return unknown_row(record)
        names = tuple(itertools.islice(record, NAMES_COMPARED))
        fault = self._unknown_faults.get(names)
        if fault is None and len(self._unknown_faults) < UNKNOWN_SHAPES_MOST:
            fault = self._unknown_faults[names] = unknown_row(record)
        if fault is None:
            found = f"Its names are {quoted(list(names))}."
            fault = BadRow(found, "Write it as the others.", code="unknown_format")
        return BadRow(fault.problem, fault.mend, fault.found, fault.code)

    def _row(self, found: Found, name: str, example: Example) -> dict[str, Any] | None:
        """The row of an example, seen by all checks; None when it is of another kind than the file."""
        kind = example.kind
        if self.kind and kind != self.kind:
            problem = f"This row holds {KIND_WORDS[kind]}; the rows before it hold {KIND_WORDS[self.kind]}."
            mend = "Bring each kind in a file of its own."
            self.note(found.line, BadRow(problem, mend, code="mixed_formats"), ERROR, found.place)
            return None
        row = {
            **example.content,
            "conversation": example.conversation or key_of(kind, example.content),
            "line": found.line,
            "split": example.split,
        }
        for warning in (*example.warnings, *refuse_odd_characters(row)):
            self.note(found.line, warning, WARNING, found.place)
        self.kind, self.first_format = self.kind or kind, self.first_format or name
        if name != self.first_format:
            problem = f"This row is of the format “{name}”; the file began with “{self.first_format}”."
            mend = "Nothing is to be done if that is meant; each row was read in its own format."
            self.note(found.line, BadRow(problem, mend, code="mixed_formats"), WARNING, found.place)
        self.formats[name] += 1
        self.row_count += 1
        for check in self.checks.values():
            for fault in check.see(row, kind):
                self.keep(fault)
        return row

    # --- faults ---------------------------------------------------------------------------------------------
    def note(self, line: int | None, fault: BadRow, severity: str = ERROR, place: str = "") -> None:
        """Counts a fault of a row; with ERROR the row was left out."""
        self.left_out += severity == ERROR
        problem = f"{fault.problem} ({place})" if place else fault.problem
        self.keep(Fault(line, problem, fault.mend, severity, fault.found, fault.code))

    def keep(self, fault: Fault) -> None:
        self.fault_count += 1
        self.counts[fault.code] += 1
        if fault.severity == WARNING:
            self.warning_count += 1
            listed = self.warnings
        else:
            self.error_count += 1
            listed = self.errors
        if len(listed) < LISTED_MOST:
            listed.append(fault)
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    def refuse(
        self, problem: str, mend: str, *, line: int | None = None, found: str = "", code: str = "no_rows"
    ) -> None:
        """Marks the whole file as unusable; the first refusal stands."""
        if self.refusal is not None:
            return
        self.refusal = Fault(line, problem, mend, REFUSAL, found, code)
        self.fault_count += 1
        self.error_count += 1
        self.counts[code] += 1
        self.errors.insert(0, self.refusal)
        self.faults.insert(0, self.refusal)
        del self.faults[FAULTS_KEPT:], self.errors[LISTED_MOST:]

    # --- the end --------------------------------------------------------------------------------------------
    def finish(self) -> None:
        """What only the whole file shows. Call it once, when all records are in."""
        if not self.row_count and self.refusal is None:
            self._refuse_for_want_of_rows()
        if self.refusal is None:
            for check in self.checks.values():
                for fault in check.finish():
                    self.keep(fault)

    def _refuse_for_want_of_rows(self) -> None:
        if self._unknown_count and self._unknown_count == self.left_out:
            fault = unknown_row(self._unknown[0], is_whole_file=True)
            code = self._unknown_code or fault.code
            if code == "openai_batch":
                fault = openai_batch(self._unknown[0]) or fault
            else:  # no names of columns make examples of a batch
                self.columns = columns_of(self._unknown)
            opening = "" if code in ("openai_batch", "unsupported_format") else "No known format fits. "
            self.refuse(f"{opening}{fault.problem}", fault.mend, code=code)
        elif self.skipped and not self.left_out:
            problem = (
                f"There is no example to learn from: all {sum(self.skipped.values())} rows were left out "
                f"({', '.join(self.skipped)})."
            )
            self.refuse(problem, "Bring rows that have an answer.")
        elif self.left_out and self.counts["bad_encoding"] == self.left_out:
            self.refuse(
                "Not one row of it is UTF-8 text, and its encoding cannot be told for sure.",
                "Save the file again with the encoding UTF-8 (many programs call it “Unicode (UTF-8)”).",
                code="wrong_encoding",
            )
        elif self.left_out:
            self.refuse(
                "There is no usable example in it: each one has a fault.",
                mend_of_all(self.errors) or "Mend the faults, first that of the first line.",
            )
        else:
            self.refuse(
                "There is no example in it.", "Bring at least one question and its answer.", code="no_rows"
            )

    def report(self, file_name: str) -> Report:
        """The verdict and its reasons; complete after `finish`."""
        profile: dict[str, Any] = {}
        for check in self.checks.values():
            profile |= check.summary()
        return Report(
            file=file_name,
            verdict=REJECT if self.error_count else WARN if self.warning_count else ACCEPT,
            format=self.format or UNKNOWN,
            container=self.container,
            kind=self.kind,
            rows=0 if self.refusal else self.row_count,
            error_count=self.error_count,
            warning_count=self.warning_count,
            errors=[entry_of(fault) for fault in in_order(self.errors)],
            warnings=[entry_of(fault) for fault in in_order(self.warnings)],
            counts=dict(sorted(self.counts.items())),
            skipped=dict(self.skipped),
            profile=profile,
            columns=self.columns,
        )


KIND_WORDS = {
    "chat": "a conversation",
    "text": "plain text",
    "preference": "a preference (chosen and rejected)",
    "unpaired": "an answer marked as good or bad",
}


def in_order(faults: list[Fault]) -> list[Fault]:
    """Faults of the file first, then by line; faults of one line in the order they were met."""
    return sorted(faults, key=lambda fault: fault.line or 0)
