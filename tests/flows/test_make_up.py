"""The README's first command in a fresh clone: `make up`, then Ctrl-C."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_a_fresh_clone_comes_up_and_ctrl_c_leaves_nothing(tmp_path):
    clone = tmp_path / "apex"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    # Installing takes minutes and is what `make test` itself began with; the rest is as a newcomer has it.
    (clone / ".venv").symlink_to(ROOT / ".venv")
    stack = Stack(tmp_path / "data")
    del stack.environment["APEX_ADMIN_PASSWORD"]
    stack.data.mkdir()
    with open(stack.console, "wb") as console:
        stack.process = subprocess.Popen(
            ["make", "up"], cwd=clone, env=stack.environment, stdin=subprocess.DEVNULL, stdout=console,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        stack.wait_until(lambda: "Apex is ready" in stack.said(), "the site to be ready", 120)
        assert stack.url in stack.said() and "admin" in stack.said()
        stack.note_processes()
        os.killpg(stack.process.pid, signal.SIGINT)  # as a terminal does it
        stack.process.wait(60)
    finally:
        left = stack.left_behind()
        for process in left:
            process.kill()
    assert not left, f"left behind: {left}"
    assert not Path(clone / "var").exists()
