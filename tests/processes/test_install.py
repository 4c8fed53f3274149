"""`make install` says in one line what is missing, and does nothing when there is nothing to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from datasets_app.scanning import build

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = "apex/processes/install.sh"


@pytest.fixture
def checkout(tmp_path):
    """A checkout with only what the script reads."""
    (tmp_path / "apex" / "processes").mkdir(parents=True)
    (tmp_path / "datasets_app" / "scanning").mkdir(parents=True)
    scanner = [
        f"datasets_app/scanning/{name}" for name in ("build.py", "scan.c", "scan_body.h", "sign_body.h")
    ]
    for name in (SCRIPT, "pyproject.toml", "constraints.txt", *scanner):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def install(checkout: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/bin/sh", SCRIPT, "train"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
    )


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old_is_named_with_its_version(checkout):
    # Answers as an old one does: no to the question whether it fits, its version to the other.
    old = program(checkout, "python3.9", 'case "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac')
    done = install(checkout, PYTHON=str(old))
    assert done.returncode == 1
    assert f"{old} is 3.9.2" in done.stderr
    assert "Apex needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_python_is_told_with_what_to_install(checkout):
    done = install(checkout, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "none was found. Install one" in done.stderr


def test_a_full_disk_is_told_before_anything_is_installed(checkout):
    tools = checkout / "tools"
    tools.mkdir()
    program(tools, "df", "echo header; echo '/dev/x 100 90 10240 90% /'")
    done = install(checkout, PATH=f"{tools}:/usr/local/bin:/usr/bin:/bin")
    assert done.returncode == 1
    assert "has 10 MB free; installing needs 4000 MB" in done.stderr
    assert not (checkout / ".venv").exists()


@pytest.fixture
def pip_calls(checkout):
    """A virtual environment whose pip only notes how it was called; returns the notes."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    notes = checkout / "pip-calls"
    notes.touch()
    body = f'if [ "$2" = pip ]; then echo "$*" >>{notes}; else exec {sys.executable} "$@"; fi'
    program(checkout / ".venv" / "bin", "python", body)
    return lambda: [line.partition("install ")[2] for line in notes.read_text().splitlines()]


def test_the_scanner_is_built_or_its_absence_is_told_in_one_line(checkout, pip_calls):
    done = install(checkout, CC="no-such-compiler")
    assert done.returncode == 0
    assert "was not built (no C compiler was found); checking works without it" in done.stdout
    assert install(checkout).returncode == 0
    if build.compiler():
        assert len(list((checkout / "datasets_app" / "scanning").glob("scan-*.so"))) == 1


def test_torch_is_installed_first_and_the_rest_by_the_constraints(checkout, pip_calls):
    assert install(checkout).returncode == 0
    assert pip_calls() == ["-q torch==2.13.0", "-q -c constraints.txt -e .[train]"]


def test_a_second_install_has_nothing_to_do(checkout, pip_calls):
    install(checkout)
    done = install(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(pip_calls()) == 2


def test_changed_constraints_are_installed(checkout, pip_calls):
    install(checkout)
    with open(checkout / "constraints.txt", "a") as file:
        file.write("another==1\n")
    install(checkout)
    assert len(pip_calls()) == 4
