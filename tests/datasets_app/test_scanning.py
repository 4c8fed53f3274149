"""The fast way through chat lines says exactly what the careful one says."""

import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from datasets_app.checking import CHECKS
from datasets_app.checking.contamination import LENGTH, fingerprint
from datasets_app.checking.privacy import KEY_MARKS, SEPARATORS, worth_a_look
from datasets_app.containers import base
from datasets_app.reading import check_file, scanned
from datasets_app.scanning import build, library
from datasets_app.scanning import lines as scanning
from datasets_app.scanning.flags import LOOK, LOOK_OF_CHECK, MAY_BE_TEST_QUESTION
from tests.datasets_app import scanned_lines

needs_scanner = pytest.mark.skipif(library.load() is None, reason="the scanner was not built: no C compiler")
fuzzing = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Bytes:
    """A source in memory; `piece` limits what one read gives."""

    data: bytes
    name: str = "chats.jsonl"
    is_seekable: bool = True

    @property
    def size(self):
        return len(self.data)

    def open(self):
        return io.BytesIO(self.data)


def report_of(data, *, with_scanner=True, format=None, chunk=None):
    with pytest.MonkeyPatch.context() as patch:
        if chunk:
            patch.setattr(scanning, "CHUNK", chunk)
        if not with_scanner:
            patch.setattr(scanned, "may_scan", lambda running: False)
        return check_file(Bytes(data), format=format, checks=CHECKS).as_dict()


def chat(question="Hello?", answer="Yes.", **beside):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return scanned_lines.json.dumps({"messages": turns, **beside}).encode() + b"\n"


def flags_of(text, *, role="user", known=()):
    """The flags of a line with this text, 0 for a line that is perfect and of no interest."""
    record = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    record["messages"][0 if role == "user" else 1]["content"] = text
    data = scanned_lines.json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    found = list(scanning.Scan(library.load(), io.BytesIO(data), library.known_bits(list(known))))
    looks = [LOOK if not isinstance(item, scanning.Flagged) else item.flags for item in found[:-1]]
    if found and not isinstance(found[-1], scanning.Columns):
        return LOOK
    return looks[0] if looks else 0


# --- the same report ------------------------------------------------------------------------------------------
@needs_scanner
@given(st.lists(scanned_lines.lines(), max_size=8), st.sampled_from([200, 1000, None]))
@fuzzing
@example([chat(), b'{"messages": [{"role": "user", "content": "a"}]}\n', chat()], 150)
@example([b'{"text": "plain"}\n', chat()], None)
@example([b"\n", b"nonsense\n", chat(), chat()], 100)
def test_any_lines_give_the_same_report_with_and_without_the_scanner(pieces, chunk):
    data = b"".join(pieces)
    assert report_of(data, chunk=chunk) == report_of(data, with_scanner=False)


@needs_scanner
@given(st.lists(scanned_lines.lines(), min_size=1, max_size=4))
@fuzzing
def test_a_last_line_without_a_line_break_counts(pieces):
    data = (chat() + b"".join(pieces)).rstrip(b"\r\n")
    assert report_of(data) == report_of(data, with_scanner=False)


@needs_scanner
@pytest.mark.parametrize("text", ["{{name}}", r"{\u007bname}}", r"\u007b{name}}", r"\u007B\u007bname\u007d}"])
def test_a_placeholder_is_seen_however_its_braces_are_written(text):
    line = chat("TEXT").replace(b"TEXT", text.encode())
    report = report_of(chat() + line)
    assert "placeholder" in report["warnings"][0]["message"]
    assert report == report_of(chat() + line, with_scanner=False)


@needs_scanner
@pytest.mark.parametrize("format", [None, "messages", "alpaca", "no such"])
def test_a_format_that_was_asked_for_gives_the_same_report(format):
    data = chat() + b'{"instruction": "a", "output": "b"}\n' + chat(answer="") + chat()
    assert report_of(data, format=format) == report_of(data, format=format, with_scanner=False)


@needs_scanner
def test_perfect_lines_are_scanned_and_not_read_with_care(monkeypatch):
    monkeypatch.setattr(scanned.json_lines, "records_of", seen := Recorder(scanned.json_lines.records_of))
    report = report_of(chat() * 3 + chat("b", "c", id=7, source="é") + b"nonsense\n" + chat("d", "e"))
    assert [piece.first for piece in seen.pieces] == [1, 5]
    assert (report["rows"], report["counts"]) == (5, {"exact_duplicate": 2, "invalid_json": 1})


class Recorder:
    def __init__(self, call):
        self.call, self.pieces = call, []

    def __call__(self, piece):
        self.pieces.append(piece)
        return self.call(piece)


@needs_scanner
def test_a_line_longer_than_a_chunk_is_read_and_one_beyond_the_limit_is_named(monkeypatch):
    monkeypatch.setattr(base, "RECORD_BYTES_MOST", 5000)
    for size in (900, 4000, 4890, 4910, 5000, 5001, 5002, 20_000):
        data = chat() + chat("x " * (size // 2)) + chat("last") + b"y" * size
        scanned_report = report_of(data, chunk=300)
        assert scanned_report == report_of(data, with_scanner=False), size
    assert scanned_report["counts"] == {"line_too_long": 2}


@needs_scanner
def test_what_breaks_off_is_checked_up_to_there():
    class BreaksOff(io.BytesIO):
        def readinto(self, buffer):
            if self.tell() == len(self.getvalue()):
                raise OSError("the connection was lost")
            return super().readinto(buffer)

        def read(self, size=-1):
            if self.tell() == len(self.getvalue()):
                raise OSError("the connection was lost")
            return super().read(size)

    class Source(Bytes):
        def open(self):
            return BreaksOff(self.data)

    # More than is looked at before reading begins.
    data = b"".join(chat(f"question {n}", "x" * 500) for n in range(1000))
    reports = []
    for with_scanner in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not with_scanner:
                patch.setattr(scanned, "may_scan", lambda running: False)
            reports.append(check_file(Source(data), checks=CHECKS).as_dict())
    assert reports[0] == reports[1]
    assert reports[0]["rows"] == 1000 and reports[0]["error_count"] == 1


# --- what is worth a look -------------------------------------------------------------------------------------
@needs_scanner
@given(
    st.lists(
        st.one_of(st.sampled_from([*KEY_MARKS, *SEPARATORS, *"0123456789@.-_ax\\/\n"]), st.text(max_size=3))
    )
)
@settings(max_examples=500, deadline=None)
@example(["1", " ", "2", "-", "3", ".", "4", "(", "5", ")", "6", "/", "7", "  ", "8", "---", "9"])
@example(["a" * 31, "12345678", "9"])
def test_no_text_with_something_private_goes_by(pieces):
    text = "a" + "".join(pieces)
    if worth_a_look(text) and any(pattern.regex.search(text) for pattern in worth_a_look(text)):
        assert flags_of(text) & (LOOK_OF_CHECK["privacy"] | LOOK)


@needs_scanner
@pytest.mark.parametrize("mark", KEY_MARKS)
@pytest.mark.parametrize("before", range(0, 40, 3))
def test_every_mark_of_a_key_is_seen_wherever_it_stands(mark, before):
    text = "é" + "w" * before + f" {mark}0"
    assert flags_of(text, role="assistant") & LOOK_OF_CHECK["privacy"]


@needs_scanner
@given(st.text(alphabet="ab1 \n.Zé", min_size=0, max_size=200), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_a_known_question_is_seen_at_the_start_of_any_line(text, lines_before):
    beginning = (b"whatis7times8" * 5)[:LENGTH]
    known = (fingerprint(beginning),)
    asked = "line\n" * lines_before + "What is 7 times 8? " * 5 + text
    assert flags_of(asked, known=known) & MAY_BE_TEST_QUESTION
    assert not flags_of(asked, role="assistant", known=known) & MAY_BE_TEST_QUESTION
    assert flags_of("x" + asked.removeprefix("line\n" * lines_before).replace("\n", " "), known=known) in (
        0,
        LOOK,
    )


@needs_scanner
def test_every_check_that_runs_by_default_can_go_the_fast_way():
    for name, make in CHECKS.items():
        assert hasattr(make(), "see_many") or name in LOOK_OF_CHECK, name


# --- the compiled library -------------------------------------------------------------------------------------
def columns_of(scanner, data):
    """Everything that a library says about the data, as plain values."""
    told = []
    for item in scanning.Scan(scanner, io.BytesIO(data), library.known_bits([1, 2, 3])):
        if isinstance(item, scanning.Columns):
            told.append(
                {name: getattr(item, name).tolist() for name in scanning.Columns.__dataclass_fields__}
            )
        else:
            told.append(item)
    return told


def built(folder, *flags):
    try:
        return build.build(folder / "scan.so", *flags)
    except build.CannotBuild as reason:
        pytest.skip(str(reason))


@needs_scanner
def test_it_says_the_same_without_the_instructions_of_this_processor(tmp_path):
    data = scanned_lines.broken_corpus(3000)
    portable = library.Library(built(tmp_path, "-DAPEX_PORTABLE"))
    assert columns_of(portable, data) == columns_of(library.load(), data)


GUARDED = """
import sys
import numpy as np
from pathlib import Path
from datasets_app.scanning import library
from tests.datasets_app import scanned_lines, test_scanning
scanner = library.Library(Path(sys.argv[1]))
for seed in range(4):
    data = scanned_lines.broken_corpus(800, seed)
    test_scanning.columns_of(scanner, data)
    for cut in range(0, len(data), 997):
        test_scanning.columns_of(scanner, data[:cut][-700:])
    for line in data.split(b"\\n"):
        scanner.sign(line, np.empty(library.PERMUTATIONS, np.uint32))
print("no fault")
"""


@pytest.mark.parametrize("width", [[], ["-DAPEX_PORTABLE"]])
def test_it_stays_within_its_memory_whatever_the_bytes(tmp_path, width):
    guard = subprocess.run(
        [shutil.which("gcc") or "false", "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not os.path.isabs(guard):
        pytest.skip("the compiler has no address sanitizer")
    path = built(tmp_path, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *width)
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, str(path)],
        env={
            **os.environ,
            "LD_PRELOAD": guard,
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": os.getcwd(),
            "PYTHONMALLOC": "malloc",
            "DJANGO_SETTINGS_MODULE": "apex.settings.test",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "no fault"), done.stderr[-3000:]


def test_without_a_compiler_everything_goes_the_careful_way(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "compiler", lambda: None)
    monkeypatch.setattr(build, "product", lambda: tmp_path / "scan.so")
    assert build.main() == 0
    assert "was not built (no C compiler was found)" in capsys.readouterr().out
    monkeypatch.setattr(library, "load", lambda: None)
    report = check_file(Bytes(chat() * 2 + b"nonsense\n"), checks=CHECKS)
    assert (report.rows, report.counts) == (2, {"exact_duplicate": 1, "invalid_json": 1})


def test_a_compiler_that_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    with pytest.raises(build.CannotBuild, match="no-such-flag"):
        build.build(tmp_path / "scan.so", "--no-such-flag")
    assert list(tmp_path.iterdir()) == []
