"""Each class of fault, in a small file of our own making; and the words for them in the docs."""

from pathlib import Path

import pytest

from apex.settings.base import BASE_DIR
from datasets_app.faults import CODES
from datasets_app.formats import FORMATS
from datasets_app.reading.report import UNKNOWN
from tests.datasets_app.fault_cases import SECTIONS, Case, line_of_table, report_on

DOCS = (Path(BASE_DIR) / "docs" / "datasets.md").read_text(encoding="utf-8")
CASES = [case for cases in SECTIONS.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=[case.about for case in CASES])
def test_each_class_of_fault_has_its_verdict_line_and_code_as_in_the_docs(case: Case, tmp_path):
    report = report_on(case, tmp_path)
    found = [(fault["line"], fault["code"]) for fault in report.errors + report.warnings]
    assert (report.verdict, report.rows, found) == (case.verdict, case.rows, case.faults)
    for fault in report.errors + report.warnings:
        assert fault["code"] in CODES
        assert fault["mend"], "every message says how to mend it"
    assert line_of_table(case, report) in DOCS, "python -m tests.datasets_app.fault_cases prints the table"


def test_the_docs_list_every_code_and_every_format():
    for code, meaning in CODES.items():
        assert f"| `{code}` | {meaning} |" in DOCS
    for name in [*FORMATS, UNKNOWN]:
        assert f"| `{name}` |" in DOCS
