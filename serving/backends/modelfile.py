"""Ollama's Modelfile: what a model is made of. Grammar: docs/modelfile.md of Ollama."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WEIGHTS = (".gguf", ".safetensors")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
SEVERAL = {"stop"}  # may be given more than once
TRIPLE = '"""'


class BadModelfile(ValueError):
    """`str()` is one plain sentence with the number of the line."""


@dataclass
class Modelfile:
    """`base` names a model that Ollama has, unless `files` (name → path) hold one of our own."""

    base: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    adapters: dict[str, Path] = field(default_factory=dict)
    template: str = ""
    system: str = ""
    license: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """What `/api/create` takes of it, without the files."""
        parts = {
            "from": self.base, "template": self.template, "system": self.system, "license": self.license,
            "parameters": self.parameters, "messages": self.messages,
        }  # fmt: skip
        return {name: value for name, value in parts.items() if value}


def read_modelfile(text: str, directory: Path) -> Modelfile:
    """Paths in it are relative to `directory` and must not lead out of it. Raises BadModelfile."""
    read = Modelfile()
    for number, word, value in _instructions(text):
        if word == "FROM":
            _read_from(read, value, directory, number)
        elif word == "ADAPTER":
            read.adapters |= _files(value, directory, number)
        elif word == "PARAMETER":
            _read_parameter(read, value, number)
        elif word == "MESSAGE":
            role, _space, content = value.partition(" ")
            read.messages.append({"role": role, "content": _unquoted(content.strip())})
        elif word in ("TEMPLATE", "SYSTEM", "LICENSE"):
            setattr(read, word.lower(), value)
        else:
            raise BadModelfile(f"Line {number}: {word} is no instruction of a Modelfile.")
    if not read.base and not read.files:
        raise BadModelfile("The Modelfile has no FROM: name a model, or the file of one.")
    return read


def _instructions(text: str):
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word, _space, value = line.partition(" ")
        value = value.strip()
        if value.startswith(TRIPLE):
            value = _until_closed(value.removeprefix(TRIPLE), lines, number)
        elif word.upper() != "MESSAGE" and word.upper() != "PARAMETER":
            value = _unquoted(value)
        yield number, word.upper(), value


def _until_closed(first: str, lines, number: int) -> str:
    if first.endswith(TRIPLE):
        return first.removesuffix(TRIPLE)
    taken = [first]
    for _number, line in lines:
        if line.rstrip().endswith(TRIPLE):
            return "\n".join([*taken, line.rstrip().removesuffix(TRIPLE)])
        taken.append(line)
    raise BadModelfile(f"Line {number}: the text that begins with three quotes does not end.")


def _read_from(read: Modelfile, value: str, directory: Path, number: int) -> None:
    if value.startswith((".", "/")) or value.endswith(WEIGHTS):
        read.files |= _files(value, directory, number)
    else:
        read.base = value


def _read_parameter(read: Modelfile, value: str, number: int) -> None:
    name, _space, text = value.partition(" ")
    text = text.strip()
    if not text:
        raise BadModelfile(f"Line {number}: PARAMETER {name} has no value.")
    # A quoted number is a text: `stop "3"` stops at the character.
    given: Any = _unquoted(text)
    if given == text and NUMBER.fullmatch(text):
        given = float(text) if "." in text else int(text)
    elif given == text and text in ("true", "false"):
        given = text == "true"
    if name in SEVERAL:
        read.parameters.setdefault(name, []).append(given)
    else:
        read.parameters[name] = given


def _files(value: str, directory: Path, number: int) -> dict[str, Path]:
    """A file, or the safetensors and JSON files of a directory, by the name that Ollama shall know them by."""
    path = (directory / value).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise BadModelfile(f"Line {number}: {value} leads out of the bundle.")
    if path.is_dir():
        return {
            file.name: file
            for file in sorted(path.iterdir())
            if file.suffix in (".safetensors", ".json", ".gguf", ".model") and file.is_file()
        }
    if not path.is_file():
        raise BadModelfile(f"Line {number}: there is no file {value} in the bundle.")
    return {path.name: path}


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
