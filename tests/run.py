"""`make test`: all tests on SQLite, then rows, states and services once more on PostgreSQL where it is installed.

A real vLLM is installed beside them where it is missing (minutes, 3.5 GB) and tried in a short form; with
APEX_TEST_VLLM=1 in the long one, with APEX_TEST_VLLM=0 not at all.
Words after `--` go to pytest: `python -m tests.run -- tests/training -x`.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests import postgres, vllm_beside

ON_BOTH_DATABASES = (
    "models",
    "states",
    "services",
    "selectors",
    "leases",
    "execution",
    "working",
    "going_on",
    "sweeping",
    "access",
    "prepare",
    "budgets",
    "paying",
    "migrations",
)
# Also on two cores: those of whole stacks wait for much of their time. Which go together is in tests/conftest.py.
IN_THREE_PROCESSES = ["-n", "3", "--dist", "loadscope", "--no-loadscope-reorder"]

# What is left out by APEX_TEST_VLLM.
LEFT_OUT = {"1": [], "0": ["-m", "not vllm and not vllm_short"], "": ["-m", "not vllm"]}


def main(words: list[str]) -> int:
    """Run pytest on PostgreSQL first (short), then everything on SQLite, so that the whole count closes."""
    environment = os.environ.copy()
    # Hundreds of processes are started: each would compile all of Apex anew, and a vLLM all of its libraries.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if words:
        return pytest(words, environment)
    form = os.environ.get("APEX_TEST_VLLM", "")
    with nullcontext() if form == "0" else vllm_beside.installing(environment):
        code = on_postgres(environment)
        print("Everything on SQLite:", flush=True)
        return pytest([*IN_THREE_PROCESSES, *LEFT_OUT.get(form, LEFT_OUT[""])], environment) or code


def on_postgres(environment: dict[str, str]) -> int:
    """Rows, states and services there, if it is installed; the exit code."""
    files = sorted(
        str(path) for name in ON_BOTH_DATABASES for path in Path("tests").glob(f"*/test_{name}.py")
    )
    if postgres.find_programs() is None:
        print("PostgreSQL is not installed (no initdb): its tests are left out.", flush=True)
        return 0
    print("Rows, states and services on PostgreSQL:", flush=True)
    with tempfile.TemporaryDirectory(prefix="apex-pg-") as folder, postgres.server(Path(folder)) as url:
        words = [*files, "-m", "not stack and not slow and not gpu", "-q"]
        return pytest(words, {**environment, "DATABASE_URL": url})


def pytest(words: list[str], environment: dict[str, str]) -> int:
    """Run pytest with these words and return its exit code."""
    # Not a default: importing Apex has already named the settings of a real site.
    environment["DJANGO_SETTINGS_MODULE"] = "apex.settings.test"
    return subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, check=False).returncode


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[1:] if arguments[:1] == ["--"] else arguments))
