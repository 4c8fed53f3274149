"""A file of examples, whatever its format, as rows and faults. No Django inside."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_app.checking.base import Check
from datasets_app.containers import CONTAINERS, json_lines, plain_text, table
from datasets_app.containers.base import Broken, Found, Opened
from datasets_app.containers.compression import Unpackable
from datasets_app.containers.lines import Lines, LongLine, pieces_of
from datasets_app.containers.opening import opened
from datasets_app.containers.sources import Source, source_of
from datasets_app.faults import REFUSAL, WARNING, Fault
from datasets_app.formats import FORMATS, dialogue
from datasets_app.formats.base import BadRow
from datasets_app.formats.unknown import TWO_SHAPES

from . import mapping as mappings
from . import scanned
from .mix_ups import misnamed
from .report import UNKNOWN, Report
from .running import Running

# What an import takes on: beyond it a training would last for months, and no adapter needs so many.
ROWS_MOST = 500_000
# What adds a piece of JSON Lines to a running account, without giving rows.
TakeLines = Callable[[Running, Lines | LongLine], None]
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
TABLE_SHAPE = "CSV with the columns question and answer"


class Reading:
    """The rows of one file. Iterate once; everything else is complete when the iteration has ended.

    Yields rows as in docs/architecture.md, except that `split` is None where the file does not say. `refusal` is
    set when nothing usable was found. Faults beyond FAULTS_KEPT are in `report()`, up to LISTED_MOST.
    """

    def __init__(self, source: Source, file_name: str, running: Running, rows_most: int | None) -> None:
        self.source = source
        self.file_name = file_name or source.name
        self.running = running
        self.rows_most = rows_most

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in reading_of(self.source, self.file_name, self.running):
            yield row
            if self.rows_most is not None and self.running.row_count > self.rows_most:
                self.running.refuse(
                    f"It holds more than {self.rows_most:,} examples.",
                    "Bring a part of them; fewer, better ones teach more.",
                    code="too_many_rows",
                )
                break
        self.running.finish()

    @property
    def format(self) -> str:
        return self.running.format

    @property
    def kind(self) -> str:
        return self.running.kind

    @property
    def row_count(self) -> int:
        return self.running.row_count

    @property
    def left_out(self) -> int:
        return self.running.left_out

    @property
    def fault_count(self) -> int:
        return self.running.fault_count

    @property
    def faults(self) -> list[Fault]:
        return self.running.faults

    @property
    def skipped(self) -> dict[str, int]:
        return self.running.skipped

    @property
    def refusal(self) -> Fault | None:
        return self.running.refusal

    def refuse_for_bad_rows(self) -> None:
        """Refuses the file because some of its rows have errors."""
        self.running.refuse(
            f"{self.left_out:,} of its rows cannot be used.",
            "Mend them, or bring the good ones only.",
            code="bad_row",
        )

    def report(self) -> Report:
        return self.running.report(self.file_name)


def read_examples(
    path_or_source: Path | str | Source,
    file_name: str = "",
    *,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    checks: Mapping[str, Callable[[], Check]] | None = None,
    rows_most: int | None = None,
) -> Reading:
    """The examples in a file, recognised by content. Nothing is read before the first iteration; never raises
    for what is in the file. `file_name` is for people (an ending such as .txt is a hint where the content is
    not enough); `mapping` names columns (role → column) when no format fits."""
    running = Running(format=format or None, mapping=mapping, checks=checks)
    return Reading(source_of(path_or_source, file_name), file_name, running, rows_most)


def reading_of(
    source: Source, file_name: str, running: Running, take_lines: TakeLines | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a source, with all else told to `running`. With `take_lines`, lines of JSON go to it, and give
    no rows here."""
    for found in found_in(source, file_name, running, take_lines):
        yield from running.take(found)
        if running.refusal is not None:
            return


def found_in(
    source: Source, file_name: str, running: Running, take_lines: TakeLines | None
) -> Iterator[Found | Broken]:
    """The records of a source by the container that fits its content."""
    if running.asked_format and not is_row_format(running.asked_format):
        fault = BadRow(
            f"No format is named “{running.asked_format[:40]}”.",
            f"Choose one of {', '.join(FORMATS)}; or none, and it is recognised.",
            code="unknown_format",
        )
        yield Broken(None, fault, REFUSAL)
        return
    try:
        with opened(source, file_name, running.asked_format) as (file, remarks):
            yield from remarks
            if file is not None:
                yield from of_container(file, running, take_lines)
    except Unpackable as problem:
        severity = REFUSAL if problem.is_refused or not running.row_count else "error"
        yield Broken(None, problem.fault, severity)
    except (OSError, EOFError) as problem:
        yield unreadable(problem, running)


def of_container(file: Opened, running: Running, take_lines: TakeLines | None) -> Iterator[Found | Broken]:
    name = container_of(file, running)
    if name is None:
        running.columns = mappings.columns_of_table(file)
        shapes = f"{dialogue.SHAPE}, {TABLE_SHAPE}, or JSON such as {TWO_SHAPES}"
        yield plain_text.refusal_of(file, list(running.columns), shapes)
        return
    running.container = name
    if warning := misnamed(file, name):
        yield Broken(None, warning, WARNING)
    if name == json_lines.NAME and take_lines is not None and scanned.may_scan(running):
        yield from scanned.records(file, running)
    elif name == json_lines.NAME and take_lines is not None:
        for piece in pieces_of(file.stream):
            take_lines(running, piece)
    elif name == table.NAME:
        yield from table.records(file, any_header=names_columns(running))
    else:
        yield from CONTAINERS[name].records(file)


def container_of(file: Opened, running: Running) -> str | None:
    """The name of the container that fits, or None."""
    for name, module in CONTAINERS.items():
        if name == plain_text.NAME and names_columns(running) and mappings.columns_of_table(file):
            return table.NAME
        if module.fits(file):
            return name
    if file.name.lower().removesuffix(".gz").endswith(JSON_ENDINGS) and not mappings.columns_of_table(file):
        return json_lines.NAME  # then each line can be told what is wrong with it
    return None


def names_columns(running: Running) -> bool:
    """Whether a person has said what the columns are, so that any header will do."""
    return bool(running.mapping)


def is_row_format(name: str) -> bool:
    return name in FORMATS and hasattr(FORMATS[name], "fits") and hasattr(FORMATS[name], "to_examples")


def unreadable(problem: OSError | EOFError, running: Running) -> Broken:
    """Words for bytes that cannot be had at all."""
    words = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    fault = BadRow(
        f"The file cannot be read: {words}.", "Look whether it is there and may be read.", code="unreadable"
    )
    return Broken(None, fault, "error" if running.row_count else REFUSAL)


def size_of(source: Source) -> int | None:
    """Its bytes; None also where it cannot be looked at, which reading it will tell."""
    try:
        return source.size
    except OSError:
        return None


def check_file(
    path_or_source: Path | str | Source,
    file_name: str = "",
    *,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    checks: Mapping[str, Callable[[], Check]] | None = None,
) -> Report:
    """The report on a file of any size, in flat memory; its rows are let go. Never raises for what is in it.

    `checks` are those of `datasets_app.checking.checks_for` unless others are given.
    """
    from datasets_app.checking import checks_for

    source = source_of(path_or_source, file_name)
    checks = checks_for(size_of(source), file_name or source.name) if checks is None else checks
    running = Running(format=format or None, mapping=mapping, checks=checks)
    for _ in reading_of(source, file_name, running, take_lines=Running.add_lines):
        pass
    running.finish()
    return running.report(file_name or source.name or UNKNOWN)
