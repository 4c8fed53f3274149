"""Compiles the scanner for this machine: `python datasets_app/scanning/build.py`.

Optional: without a compiler everything works, only slower, and this says so. The product lies beside the source and
carries its fingerprint in its name, so a stale one is never loaded. Nothing but the standard library inside.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = (HERE / "scan.c", HERE / "scan_body.h", HERE / "sign_body.h")
FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror=implicit-function-declaration")
TIMEOUT = 120  # seconds


class CannotBuild(Exception):
    """There is no compiler, or it failed; the words say which."""


def product(folder: Path = HERE) -> Path:
    """Where the compiled scanner of these sources lies, whether it is there or not."""
    fingerprint = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]
    return folder / f"scan-{fingerprint}.so"


def compiler() -> str | None:
    """The compiler of `CC`, or the first that is installed."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next((found for name in names if (found := shutil.which(name))), None)


def build(target: Path, *extra: str) -> Path:
    """Compiles to `target`, whole or not at all. Raises CannotBuild."""
    program = compiler()
    if program is None:
        raise CannotBuild("no C compiler was found")
    half = target.with_name(f"{target.name}.{os.getpid()}")
    command = [program, *FLAGS, *extra, "-o", str(half), str(SOURCES[0])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode:
            raise CannotBuild(f"{program} failed: {done.stderr.strip()[-300:]}")
        half.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(f"{program} failed: {error}") from error
    finally:
        half.unlink(missing_ok=True)
    return target


def main() -> int:
    target = product()
    if not target.exists():
        try:
            build(target)
        except CannotBuild as reason:
            print(
                f"The fast scanner of examples was not built ({reason}); checking works without it, slower."
            )
            return 0
    for stale in HERE.glob("scan-*.so"):
        if stale != target:
            stale.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
