"""Processes that may be ended, stopped and drained one by one; whatever ends is started again, at once."""

import os
import signal
import time

import psutil

from apex.processes.child import Child

START_SECONDS = 0.3  # from an end to the next start


class Processes:
    """Call `tick()` often, from one thread: a child ends with the thread that started it.

    `mark` is a variable of the environment, with its value, by which all that belongs to them is known.
    """

    def __init__(self, mark: tuple[str, str]) -> None:
        self.mark = mark
        self.children: dict[str, Child] = {}
        self.held_until: dict[str, float] = {}
        self.rests: dict[str, float] = {}  # seconds from the next end of a process to its start

    def end_all(self) -> None:
        """Ends everything: politely, then by force."""
        for child in self.children.values():
            child.signal_group(signal.SIGCONT)
            child.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and any(
            c.system and c.poll() is None for c in self.children.values()
        ):
            time.sleep(0.05)
        for child in self.children.values():
            if child.system is not None:
                child.signal_group(signal.SIGKILL)
                child.system.wait()
                child.clear()
        for process in self.left_behind():
            process.kill()

    def left_behind(self) -> list[psutil.Process]:
        """Whatever still runs with our mark in its environment."""
        name, value = self.mark
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(name) == value:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def tick(self) -> None:
        """Starts what has ended, and lets go on what was stopped for long enough."""
        for name in self.children:
            self.tick_one(name)

    def tick_one(self, name: str) -> None:
        child = self.children[name]
        now = time.monotonic()
        if name in self.held_until and now >= self.held_until[name]:
            del self.held_until[name]
            child.signal_group(signal.SIGCONT)
        if child.system is None:
            if child.next_start is not None and now >= child.next_start:
                child.start()
        elif child.poll() is not None:
            child.clear()
            child.next_start = now + self.rests.pop(name, START_SECONDS)
            self.held_until.pop(name, None)
        else:
            child.look_if_ready()

    def is_at_work(self, name: str) -> bool:
        """Whether the process runs, has finished starting, and is not held."""
        child = self.children[name]
        return child.system is not None and child.is_ready and name not in self.held_until

    def pid(self, name: str) -> int | None:
        return self.children[name].pid

    def wait_for(self, name: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_at_work(name):
            self.tick_one(name)
            if time.monotonic() > deadline:
                log = self.children[name].new_log()[-2000:].decode(errors="replace")
                raise TimeoutError(f"{name} was not ready within {seconds:g} s:\n{log}")
            time.sleep(0.05)

    # --- breaking it ---

    def end(self, name: str, number: int = signal.SIGKILL, rest: float = START_SECONDS) -> None:
        """Sends the process a signal, to itself alone: what it started has to notice. It is away for `rest` seconds."""
        pid = self.children[name].pid
        if pid is not None:
            self.rests[name] = rest
            os.kill(pid, number)

    def hold(self, name: str, seconds: float) -> None:
        """Stops the process in its tracks (SIGSTOP) for so long; what it started goes on."""
        pid = self.children[name].pid
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            self.held_until[name] = time.monotonic() + seconds
