"""Rows that are longer than what many models read at once."""

import pytest

from datasets_app.checking.lengths import CHARACTERS_MOST, characters_of
from datasets_app.reading import check_file, scanned
from tests.datasets_app.files import chat, json_lines


@pytest.mark.parametrize("is_scanned", [True, False])
def test_long_rows_are_named_by_line_however_they_are_read(is_scanned, tmp_path, monkeypatch):
    if not is_scanned:
        monkeypatch.setattr(scanned, "may_scan", lambda running: False)
    path = tmp_path / "chats.jsonl"
    long = "x" * CHARACTERS_MOST
    path.write_text(json_lines(chat("a?"), chat("b?", long), chat("c?"), chat("é" + long), chat("d?")))
    report = check_file(path)
    assert [(fault["line"], fault["code"]) for fault in report.warnings] == [(2, "too_long"), (4, "too_long")]
    assert "32,770 characters" in report.warnings[0]["problem"]
    assert (report.verdict, report.profile["too_long"]) == ("warn", 2)


def test_of_two_answers_the_longer_one_counts():
    def said(text):
        return [{"role": "assistant", "content": text}]

    assert characters_of({"prompt": said("abc"), "chosen": said("de"), "rejected": said("fghi")}) == 7
    assert characters_of({"prompt": said("abc"), "completion": said("de"), "label": True}) == 5
    assert characters_of({"text": "abcd"}) == 4
    assert characters_of({"messages": [{"role": "assistant", "content": None}]}) == 0
