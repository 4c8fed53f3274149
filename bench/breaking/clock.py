"""A wall clock that is set for one process and its children while they run. Needs Linux and a C compiler."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """`environment` goes to the process; `set_off(3600)` makes it an hour fast from that moment."""

    def __init__(self, folder: Path, library: Path, name: str):
        self.file = folder / f"clock-{name}"
        self.file.write_bytes(struct.pack("d", 0.0))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFF_FILE": str(self.file)}

    def set_off(self, seconds: float) -> None:
        with open(self.file, "r+b") as file:
            file.write(struct.pack("d", seconds))


def build(folder: Path) -> Path | None:
    """The compiled library in `folder`; None where there is no compiler, or this is not Linux."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or sys.platform != "linux":
        return None
    target = folder / "clock.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-Wall", "-o", str(target), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return target
