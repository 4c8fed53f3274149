"""What a person may set is in docs/operations.md, and what it names exists."""

import re
from pathlib import Path

from apex.processes import plan

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("apex", "accounts", "base_models", "datasets_app", "training", "serving", "gateway", "rendering")
# Set by one of our own processes for another; a name in an example that a page shows.
NOT_SETTINGS = {"APEX_STOP_WITH_PARENT", "APEX_TEST_PROCESS", "APEX_TOKEN"}


def names_in_code() -> set[str]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {name for path in files for name in re.findall(r"[\"'](APEX_[A-Z_]+)[\"']", path.read_text())}


def names_in_docs() -> set[str]:
    return set(
        re.findall(r"^\| `(APEX_[A-Z_]+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    )


def test_every_setting_is_in_the_docs():
    assert names_in_code() - NOT_SETTINGS - names_in_docs() == set()


def test_every_setting_in_the_docs_exists():
    assert names_in_docs() - names_in_code() == set()


def test_every_process_is_in_the_docs(tmp_path):
    processes = plan.site_processes(
        data=tmp_path, host="127.0.0.1", port=1, training_queues=["cpu", "gpu0"], serving_url="unix:///s"
    )
    text = (ROOT / "docs" / "operations.md").read_text()
    assert [process.name for process in processes if f"`{process.name}`" not in text] == []


def test_every_command_in_the_docs_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for name in ("README.md", "CONTRIBUTING.md", "docs/operations.md"):
        for target in re.findall(r"`make ([a-z-]+)", (ROOT / name).read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name} names make {target}"
