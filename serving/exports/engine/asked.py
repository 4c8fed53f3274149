"""What is to be made, and how a kind says that it cannot be."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any


class ExportFailed(Exception):
    """The work says no. `reason` is one word, `message` names what was found, `advice` what helps."""

    def __init__(self, reason: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.advice = advice


@dataclass(frozen=True)
class Made:
    """`file` is what is kept for download (None where it went elsewhere), `folder` holds what is listed."""

    files: list[dict[str, Any]]
    file: Path | None = None
    link: str = ""


@dataclass(frozen=True)
class Asked:
    """`folder` is empty and goes away with all that is in it; `name` is good as the name of a file."""

    kind: str
    adapter_dir: Path
    base_dir: Path
    folder: Path
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    converters: str = ""  # directory of llama.cpp
    python: str = ""  # that runs the converters
    endpoint: str = ""  # of the hub
    token: str = field(default="", repr=False)

    @classmethod
    def read(cls, line: str) -> "Asked":
        given = json.loads(line)
        for name in ("adapter_dir", "base_dir", "folder"):
            given[name] = Path(given[name])
        return cls(**given)


class Voice:
    """Says events to the parent; asks it things, one at a time, whichever thread does."""

    def __init__(self, said: IO[str], heard: IO[str]) -> None:
        self.said, self.heard = said, heard
        self.lock = threading.Lock()

    def say(self, event: str, **fields: Any) -> None:
        with self.lock:
            self._write({"event": event, **fields})

    def step(self, name: str, progress: int) -> None:
        self.say("step", name=name, progress=progress)

    def ask(self, event: str, **fields: Any) -> dict[str, Any]:
        """The parent's answer. Raises EOFError if it is gone."""
        with self.lock:
            self._write({"event": event, **fields})
            line = self.heard.readline()
        if not line:
            raise EOFError("whoever started this process is gone")
        return json.loads(line)

    def _write(self, content: dict[str, Any]) -> None:
        self.said.write(json.dumps(content) + "\n")
        self.said.flush()
