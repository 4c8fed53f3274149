"""The loop that keeps the plan alive: start in order, watch, restart with back-off, stop without leftovers."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from .child import Child, adopt_orphans
from .plan import Process

TICK_SECONDS = 0.1
HEALTH_EVERY_SECONDS = 10
UNWELL_LIMIT = 6
BACKOFF_SECONDS = (0.5, 30.0)  # first wait, longest wait; doubled each time
WELL_AFTER_SECONDS = 60  # a run of this length forgets earlier failures
STARTS_BEFORE_GIVING_UP = 3
STOP_GRACE_SECONDS = 10
HEAD_START_SECONDS = 10


class Supervisor:
    """Runs the processes of a plan until it is asked to stop, and says on the console what happens.

    `say` gets one line at a time. `on_ready` is called once, when every vital process is ready.
    """

    def __init__(
        self,
        plan: list[Process],
        *,
        data: Path,
        environment: dict[str, str],
        url: str,
        say: Callable[[str], None],
        on_ready: Callable[[], None],
    ):
        logs = data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.children = [Child(process, logs=logs, environment=environment) for process in plan]
        self.state_file = data / "processes.json"
        self.url = url
        self.say = say
        self.on_ready = on_ready
        self.stop_requests = 0
        self.in_a_hurry = False
        self._first_interrupt: float | None = None
        self.announced = False
        self.next_health = time.monotonic() + HEALTH_EVERY_SECONDS
        self._written = ""

    # --- the life of the whole -------------------------------------------------------------------------

    def start_first(self, timeout: float = 30.0) -> bool:
        """Start the first process (the broker) and wait until it is ready; False if it will not, or on stop."""
        child = self.children[0]
        deadline = time.monotonic() + timeout
        self._start(child)
        while time.monotonic() < deadline and not self.stop_requests and child.poll() is None:
            if child.look_if_ready():
                return True
            time.sleep(0.01)
        if not self.stop_requests:
            self._give_up(child)
        return False

    def run(self) -> int:
        """Start what does not run yet, then watch until a signal asks to stop. Returns the exit code.

        The vital processes come first, so that the site answers early; the others follow when it does, or
        after `HEAD_START_SECONDS`.
        """
        others_start = time.monotonic() + HEAD_START_SECONDS
        while not self.stop_requests:
            for child in self.children:
                if child.starts == 0 and not (
                    child.process.is_vital or self.announced or time.monotonic() > others_start
                ):
                    continue
                if not self._look_after(child):
                    return 1
            self._look_at_health()
            self._write_state()
            if not self.announced and all(
                child.is_ready for child in self.children if child.process.is_vital
            ):
                self.announced = True
                self.on_ready()
            time.sleep(TICK_SECONDS)
        return 0

    def request_stop(self, number: int = signal.SIGTERM, _frame: object = None) -> None:
        """Ask the loop to end; usable as a signal handler. A second Ctrl-C skips the grace.

        Some senders deliver one Ctrl-C twice, to the process and to its group: within a second it counts once.
        """
        self.stop_requests += 1
        if number == signal.SIGINT:
            now = time.monotonic()
            self._first_interrupt = self._first_interrupt or now
            self.in_a_hurry = now - self._first_interrupt > 1

    def handle_signals(self) -> None:
        """Stop on Ctrl-C, SIGTERM and a closed terminal, and take over processes whose parent dies below us."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.request_stop)
        adopt_orphans()

    def stop(self) -> None:
        """End every process, the first one (the broker) last, and whatever they started. Returns when all are gone."""
        for group in (self.children[1:], self.children[:1]):
            for child in group:
                child.signal_group(signal.SIGTERM)
            deadline = time.monotonic() + STOP_GRACE_SECONDS
            while any(child.system and child.poll() is None for child in group):
                if time.monotonic() > deadline or self.in_a_hurry:
                    break
                time.sleep(0.02)
            for child in group:
                if child.system is not None:
                    child.signal_group(signal.SIGKILL)
                    child.system.wait()
                    child.clear()
        end_descendants()
        self.state_file.unlink(missing_ok=True)

    # --- one process -----------------------------------------------------------------------------------

    def _look_after(self, child: Child) -> bool:
        """Start, restart or leave alone. Returns False if the whole must end because this one cannot start."""
        if child.system is None:
            if child.next_start is not None and time.monotonic() >= child.next_start:
                self._start(child)
            return True
        code = child.poll()
        if code is None:
            child.look_if_ready()
            return True
        return self._ended(child, code)

    def _ended(self, child: Child, code: int) -> bool:
        was_ready, lived = child.is_ready, time.monotonic() - child.started
        child.clear()
        if child.process.rests and code == 0 and lived > 2:
            child.failures_in_a_row, child.next_start = 0, time.monotonic()
            return True
        child.failures_in_a_row = (
            1 if was_ready and lived > WELL_AFTER_SECONDS else child.failures_in_a_row + 1
        )
        if (
            child.process.is_vital
            and not self.announced
            and child.failures_in_a_row >= STARTS_BEFORE_GIVING_UP
        ):
            self._give_up(child)
            return False
        wait = backoff(child.failures_in_a_row)
        child.next_start = time.monotonic() + wait
        self.say(
            f"{child.process.name} {how_it_ended(code)}; starting it again in {wait:g} s. Log: {child.log}"
        )
        return True

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            child.failures_in_a_row += 1
            child.next_start = time.monotonic() + backoff(child.failures_in_a_row)
            self.say(f"{child.process.name} cannot be started: {error}")

    def _give_up(self, child: Child) -> None:
        tail = child.new_log().decode(errors="replace").strip().splitlines()[-8:]
        lines = "\n".join(f"    {line}" for line in tail) or "    (nothing)"
        self.say(f"{child.process.name} does not start. The end of {child.log}:\n{lines}")

    def _look_at_health(self) -> None:
        now = time.monotonic()
        if now < self.next_health:
            return
        self.next_health = now + HEALTH_EVERY_SECONDS
        self._reap_orphans()
        for child in self.children:
            self._keep_log_short(child)
            if child.process.is_well is None or not child.is_ready or child.poll() is not None:
                continue
            child.unwell_in_a_row = 0 if child.process.is_well() else child.unwell_in_a_row + 1
            if child.unwell_in_a_row >= UNWELL_LIMIT:
                self.say(f"{child.process.name} runs, but does not answer; ending it.")
                child.signal_group(signal.SIGKILL)

    # --- the rest --------------------------------------------------------------------------------------

    def _reap_orphans(self) -> None:
        """Take leave of adopted processes that have ended; our own children are left to their Popen."""
        own = {child.pid for child in self.children}
        for process in psutil.Process().children():
            try:
                if process.pid not in own and process.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(process.pid, os.WNOHANG)
            except (psutil.NoSuchProcess, ChildProcessError):
                continue  # it is gone already, which is what we want

    def _keep_log_short(self, child: Child) -> None:
        try:
            child.rotate_log()
        except OSError as error:  # no room for the copy: the log goes on growing, and is told
            self.say(f"{child.log} cannot be put aside: {error.strerror}")

    def _write_state(self) -> None:
        """Write who runs to `processes.json`, whole or not at all, when it has changed."""
        state = json.dumps(
            {
                "pid": os.getpid(),
                "url": self.url,
                "processes": {
                    child.process.name: {"pid": child.pid, "is_ready": child.is_ready, "starts": child.starts}
                    for child in self.children
                },
            },
            indent=1,
        )
        if state == self._written:
            return
        draft = self.state_file.with_suffix(".draft")
        try:
            draft.write_text(state)
            draft.replace(self.state_file)
        except OSError as error:  # a full disk must not end what still runs
            self.say(f"{self.state_file} cannot be written: {error.strerror}")
        self._written = state


def backoff(failures: int) -> float:
    """Return the seconds to wait before the next start after `failures` (1, 2, …) in a row."""
    first, longest = BACKOFF_SECONDS
    return min(first * 2 ** (failures - 1), longest)


def how_it_ended(code: int) -> str:
    """Return an exit code in words: `ended with code 3`, `was ended by SIGKILL`."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def end_descendants(grace: float = 3.0) -> None:
    """End everything that descends from this process: politely, then by force. Returns when all are gone."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=seconds)
