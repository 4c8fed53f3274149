"""`manage.py up`, the real one: ready, quick the second time, mended after a kill, and gone without a trace."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.stack import ROOT, Stack, free_port, is_alive

pytestmark = [pytest.mark.stack]


def test_every_process_is_up_and_has_a_log(stack):
    names = ["broker", "web", "worker-default", "worker-cpu", "scheduler", "serving"]
    assert list(stack.processes()) == names
    for name in names:
        assert (stack.data / "logs" / f"{name}.log").exists()


@pytest.mark.parametrize("name", ["worker-cpu", "worker-default"])
def test_a_killed_worker_is_started_again_and_what_it_started_dies_with_it(stack, name):
    before = stack.pid(name)
    started = psutil.Process(before).children(recursive=True)
    os.kill(before, signal.SIGKILL)
    stack.wait_until(
        lambda: stack.pid(name) not in (before, None) and stack.processes()[name]["is_ready"],
        "the worker to be back",
    )
    assert not any(is_alive(process) for process in started)
    assert f"{name} was ended by SIGKILL; starting it again" in stack.said()


def test_a_killed_broker_comes_back_and_so_does_health(stack):
    import urllib.error
    import urllib.request

    def is_green() -> bool:
        try:
            return urllib.request.urlopen(f"{stack.url}/healthz", timeout=5).status == 200
        except urllib.error.HTTPError:
            return False

    before = stack.pid("broker")
    os.kill(before, signal.SIGKILL)
    stack.wait_until(lambda: stack.pid("broker") not in (before, None), "the broker to be back")
    stack.wait_until(is_green, "/healthz to be green again")


def test_a_second_up_on_the_same_data_is_told_where_the_first_is(stack):
    done = up({**stack.environment, "APEX_PORT": str(free_port())})
    assert done.returncode == 1
    assert f"already runs on {stack.data}" in done.stderr
    assert stack.url in done.stderr


def test_a_taken_port_is_one_clear_line(stack, tmp_path):
    done = up({**stack.environment, "APEX_DATA_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert f"Port {stack.port} is taken" in done.stderr
    assert f"APEX_PORT={stack.port + 1} make up" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_one_clear_line(stack, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True
    ).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(OSError), open(small / "filler", "wb", buffering=0) as filler:
            while filler.write(b"x" * 4096) == 4096:
                continue
        done = up({**stack.environment, "APEX_DATA_DIR": str(small), "APEX_PORT": str(free_port())})
    finally:
        subprocess.run(["umount", small], check=True)
    assert done.returncode == 1
    assert f"The disk that holds {small} has 0 MB free; at least 1024 MB are needed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("APEX_PORT", "eighty", "APEX_PORT is 'eighty'; it must be a whole number."),
        ("APEX_DATA_DIR", "/proc/here", "set APEX_DATA_DIR to another folder|/proc/here: No such file"),
    ],
)
def test_a_setting_that_cannot_be_is_one_clear_line(tmp_path, setting, value, told):
    done = up({**os.environ, "APEX_DATA_DIR": str(tmp_path), setting: value})
    assert done.returncode == 1
    assert re.search(told, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_is_away_is_one_clear_line(stack, tmp_path):
    away = {
        "APEX_DATA_DIR": str(tmp_path),
        "APEX_PORT": str(free_port()),
        "APEX_REDIS_URL": "unix:///no/x.sock",
    }
    done = up({**stack.environment, **away})
    assert done.returncode == 1
    assert "No broker answers at APEX_REDIS_URL" in done.stderr


def test_the_second_start_is_quick_ctrl_c_leaves_nothing_and_so_does_a_kill(tmp_path):
    own = Stack(tmp_path / "data", APEX_ADMIN_PASSWORD="")
    own.start()
    assert "First administrator: name admin, password " in own.said()
    assert own.stop(signal.SIGINT) == 0
    assert not (own.data / "processes.json").exists()

    own.start(everything=False)
    assert own.seconds_to_ready < 10 * load_factor()
    assert "First administrator" not in own.said(), "the password is shown once"
    own.wait_until(lambda: all(facts["is_ready"] for facts in own.processes().values()), "all processes")

    # Nobody can clean up after SIGKILL: the system does it.
    own.note_processes()
    own.process.kill()
    own.process.wait()
    deadline = time.monotonic() + 10
    while own.left_behind() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert own.left_behind() == []

    own.start(everything=False)  # and the next start finds nothing in its way
    assert own.stop(signal.SIGTERM) == 0


def test_one_process_alone_can_be_run_for_containers(stack):
    listed = up(stack.environment, "--only", "nothing")
    assert "there are web, worker-default, worker-cpu, scheduler, serving" in listed.stderr.replace(
        "broker, ", ""
    )


def test_the_state_file_names_the_supervisor(stack):
    facts = json.loads((stack.data / "processes.json").read_text())
    assert facts["pid"] == stack.process.pid
    assert facts["url"].startswith(stack.url)


def up(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    """Run `manage.py up` where it is expected to refuse."""
    return subprocess.run(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def load_factor() -> float:
    """Return by how much more than its cores this machine is asked to do; the promise is for an idle one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
