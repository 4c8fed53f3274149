"""Letters that were broken on the way are found, and letters that are meant are left in peace."""

import json

import pytest

from datasets_app.checking.damage import Damage
from datasets_app.reading import check_file
from datasets_app.scanning import library


def faults_of(text: str) -> list:
    messages = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": text}]
    return list(Damage().see({"messages": messages, "line": 7}, "chat"))


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("Das CafÃ© ist offen.", "Ã©", "é"),
        ("GrÃ¼ÃŸe aus KÃ¶ln", "Ã¼", "ü"),
        ("It â€™s open.".replace(" â", "â"), "â€™", "’"),
        ("5Â° east", "Â°", "°"),
        ("1Â\u00a0000", "Â\u00a0", "\u00a0"),
    ],
)
def test_misread_letters_are_named_with_what_was_meant(text, wrong, right):
    [fault] = faults_of(text)
    assert (fault.line, fault.code, fault.severity) == (7, "damaged_text", "warning")
    assert f"“{wrong}” stands for “{right}”" in fault.problem and "UTF-8" in fault.mend
    assert wrong in fault.found


def test_a_lost_letter_is_named():
    [fault] = faults_of("The caf\ufffd is open.")
    assert "a letter that was lost" in fault.problem and fault.code == "damaged_text"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "São João, NÃO, ÂMBAR, pão",
        "â la carte, château, pâté",
        "“It’s” — 5 °C, 3 €",
        "Đà Nẵng",
        "名前",
        "😀",
    ],
)
def test_letters_that_are_meant_are_left_in_peace(text):
    assert faults_of(text) == []


def test_the_scanned_and_the_careful_way_name_the_same_lines(tmp_path, monkeypatch):
    texts = ["Plain.", "CafÃ©", "Café", "It\u00e2\u20ac\u2122s", "NÃO", "lost \ufffd", "5Â°", "château"]
    path = tmp_path / "chats.jsonl"
    lines = [
        json.dumps(
            {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": text}]},
            ensure_ascii=n % 2 == 0,
        )
        for n, text in enumerate(texts * 2 + texts[:1])
    ]
    path.write_text("\n".join(lines + lines[1:2]) + "\n", encoding="utf-8")
    scanned = check_file(path).as_dict()
    monkeypatch.setattr(library, "load", lambda: None)
    assert check_file(path).as_dict() == scanned
    named = [warning["line"] for warning in scanned["warnings"] if warning["code"] == "damaged_text"]
    assert named == [2, 4, 6, 7, 10, 12, 14, 15, 18]
    assert scanned["profile"]["damaged"] == {"misread": 7, "lost": 2}
