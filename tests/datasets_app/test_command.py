"""`manage.py validate_dataset`, by both ways to it."""

import io
import json
import os
import subprocess
import sys

from django.core.management import call_command

from datasets_app.scanning import library
from tests.datasets_app.files import chats
from tests.stack import ROOT


def run(*words, **environment):
    return subprocess.run(
        [sys.executable, "manage.py", "validate_dataset", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_short_way_and_djangos_say_the_same(tmp_path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(chats(10))
    bad.write_text(chats(3) + "\nnonsense\n")
    done = run(str(good), str(bad), str(tmp_path / "none"), "--json")
    out = io.StringIO()
    call_command("validate_dataset", str(good), str(bad), str(tmp_path / "none"), "--json", stdout=out)
    assert (done.returncode, done.stdout) == (0, out.getvalue())
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(report["rows"], report["verdict"]) for report in reports[:2]] == [(10, "accept"), (3, "reject")]
    assert reports[2]["verdict"] == "reject" and reports[2]["errors"][0]["line"] is None


def test_no_settings_and_no_data_directory_are_needed(tmp_path):
    file = tmp_path / "good.jsonl"
    file.write_text(chats(10))
    done = run(str(file), DJANGO_SETTINGS_MODULE="no.such.settings", APEX_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0 and "10 examples, read as messages in jsonl" in done.stdout, done.stderr
    assert not (tmp_path / "data").exists()


def test_near_duplicates_are_named_on_request(tmp_path):
    words = " ".join(f"word{number}" for number in range(100))
    file = tmp_path / "near.jsonl"
    file.write_text("".join(json.dumps({"text": f"{words} {end}"}) + "\n" for end in ("one", "two")))
    out = io.StringIO()
    call_command("validate_dataset", str(file), "--json", near_duplicates=True, stdout=out)
    assert [(fault["line"], fault["code"]) for fault in json.loads(out.getvalue())["warnings"]] == [
        (2, "near_duplicate")
    ]


def test_without_the_compiled_scanner_the_command_says_so(tmp_path, monkeypatch):
    file = tmp_path / "good.jsonl"
    file.write_text(chats(10))
    monkeypatch.setattr(library, "load", lambda: None)
    out = io.StringIO()
    call_command("validate_dataset", str(file), stdout=out)
    assert "read without the compiled scanner" in out.getvalue()
