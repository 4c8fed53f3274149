"""Processes are started in order, watched, restarted with back-off and stopped with all that they started."""

import json
import os
import signal
import sys
import threading
import time

import psutil
import pytest

from apex.processes import child as child_module
from apex.processes import supervisor as supervisor_module
from apex.processes.child import Child, rotate
from apex.processes.plan import Process
from apex.processes.supervisor import Supervisor, backoff, how_it_ended
from tests.stack import is_alive

SLEEP = "import time; print('up.', flush=True); time.sleep(60)"


def process(name: str, script: str = SLEEP, **options) -> Process:
    options.setdefault("ready_text", "up.")
    return Process(name=name, command=(sys.executable, "-c", script), **options)


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """Run a plan in a thread of this process; returns the supervisor. Everything is stopped at the end."""
    monkeypatch.setattr(supervisor_module, "BACKOFF_SECONDS", (0.05, 0.2))
    # The tests' own process must not take other children along.
    monkeypatch.setattr(supervisor_module, "end_descendants", lambda: None)
    monkeypatch.setattr(supervisor_module.Supervisor, "_reap_orphans", lambda self: None)
    # Linux ends a child with the thread that made it; here that is a short-lived one.
    monkeypatch.setattr(child_module, "_libc", None)
    running = []

    def start(*plan: Process) -> Supervisor:
        said = []
        supervisor = Supervisor(
            list(plan),
            data=tmp_path,
            environment=dict(os.environ),
            url="http://x/",
            say=said.append,
            on_ready=lambda: said.append("ready"),
        )
        supervisor.said = said
        thread = threading.Thread(target=lambda: setattr(supervisor, "code", supervisor.run()))
        thread.start()
        running.append((supervisor, thread))
        return supervisor

    yield start
    for supervisor, thread in running:
        supervisor.request_stop()
        thread.join(10)
        supervisor.stop()


def wait_for(condition, timeout: float = 10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def state(tmp_path) -> dict:
    return json.loads((tmp_path / "processes.json").read_text())["processes"]


def test_others_start_when_the_vital_ones_are_ready(supervise, tmp_path):
    gate = tmp_path / "gate"
    watched = supervise(process("web", is_ready=gate.exists, is_vital=True), process("worker"))
    wait_for(lambda: (tmp_path / "processes.json").exists())
    assert state(tmp_path)["worker"]["pid"] is None
    gate.touch()
    wait_for(lambda: state(tmp_path)["worker"]["is_ready"])
    assert watched.said == ["ready"]


def test_a_killed_process_is_started_again_and_told(supervise, tmp_path):
    watched = supervise(process("worker"), process("web", is_vital=True))
    wait_for(lambda: watched.children[0].is_ready)
    first = watched.children[0].pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: watched.children[0].starts == 2 and watched.children[0].is_ready)
    assert watched.children[0].pid != first
    assert any("worker was ended by SIGKILL; starting it again in 0.05 s" in line for line in watched.said)


def test_what_a_killed_process_started_is_killed_before_the_restart(supervise, tmp_path):
    script = (
        "import subprocess, sys, time; "
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(tmp_path / 'grandchild')!r}, 'a').write(f'{{c.pid}}\\n'); print('up.', flush=True); time.sleep(60)"
    )
    watched = supervise(process("worker", script), process("web", is_vital=True))
    wait_for(lambda: watched.children[0].is_ready)
    grandchild = psutil.Process(int((tmp_path / "grandchild").read_text().split()[0]))
    os.kill(watched.children[0].pid, signal.SIGKILL)
    wait_for(lambda: watched.children[0].starts == 2)
    wait_for(lambda: not is_alive(grandchild))


def test_a_vital_process_that_never_starts_ends_the_whole_with_its_last_words(supervise):
    watched = supervise(process("web", "raise SystemExit('no such module')", is_vital=True))
    wait_for(lambda: hasattr(watched, "code"))
    assert watched.code == 1
    assert "web does not start" in watched.said[-1]
    assert "no such module" in watched.said[-1]


def test_a_process_that_may_rest_is_started_again_at_once(supervise, monkeypatch):
    monkeypatch.setattr(supervisor_module, "BACKOFF_SECONDS", (60, 60))
    idle = process("serving", "import time; print('up.', flush=True); time.sleep(2.2)", rests=True)
    watched = supervise(idle, process("web", is_vital=True))
    wait_for(lambda: watched.children[0].starts == 2)
    assert watched.said == ["ready"]


def test_a_process_that_runs_but_does_not_answer_is_ended(supervise, monkeypatch):
    monkeypatch.setattr(supervisor_module, "HEALTH_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(supervisor_module, "UNWELL_LIMIT", 2)
    watched = supervise(process("web", is_vital=True, is_well=lambda: False))
    watched.next_health = 0
    wait_for(lambda: watched.children[0].starts >= 2)
    assert "web runs, but does not answer; ending it." in watched.said


def test_a_stop_ends_what_ignores_a_polite_request(supervise, monkeypatch):
    monkeypatch.setattr(supervisor_module, "STOP_GRACE_SECONDS", 0.3)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up.', flush=True); time.sleep(60)"
    watched = supervise(process("deaf", deaf, is_vital=True))
    wait_for(lambda: watched.children[0].is_ready)
    system = psutil.Process(watched.children[0].pid)
    watched.request_stop()
    wait_for(lambda: hasattr(watched, "code"))
    watched.stop()
    assert watched.code == 0
    assert not system.is_running()


def test_a_program_that_is_missing_is_told(supervise):
    watched = supervise(Process("serving", ("/nowhere/program",)), process("web", is_vital=True))
    wait_for(lambda: any("serving cannot be started" in line for line in watched.said))


def test_waiting_doubles_up_to_half_a_minute():
    assert [backoff(n) for n in (1, 2, 3, 4, 7, 20)] == [0.5, 1, 2, 4, 30, 30]


def test_ends_are_told_in_words():
    assert how_it_ended(3) == "ended with code 3"
    assert how_it_ended(-9) == "was ended by SIGKILL"


def test_a_long_log_is_put_aside_while_its_writer_goes_on(tmp_path):
    log = tmp_path / "web.log"
    with open(log, "ab", buffering=0) as writer:
        writer.write(b"x" * 11)
        assert rotate(log, limit=10)
        writer.write(b"new")
    assert (tmp_path / "web.log.1").read_bytes() == b"x" * 11
    assert log.read_bytes() == b"new"
    assert not rotate(log, limit=10)
    assert not rotate(tmp_path / "none.log")


def test_readiness_is_read_from_the_present_run_only(tmp_path):
    (tmp_path / "worker.log").write_text("up.\n")
    child = Child(
        process("worker", "import time; time.sleep(60)"), logs=tmp_path, environment=dict(os.environ)
    )
    child.start()
    try:
        assert not child.look_if_ready()
    finally:
        child.signal_group(signal.SIGKILL)
        child.system.wait()


def test_one_ctrl_c_that_arrives_twice_is_no_hurry_but_a_second_one_is(supervise, monkeypatch):
    watched = supervise(process("web", is_vital=True))
    watched.request_stop(signal.SIGINT)
    watched.request_stop(signal.SIGINT)
    assert not watched.in_a_hurry
    watched._first_interrupt -= 2
    watched.request_stop(signal.SIGINT)
    assert watched.in_a_hurry
