"""Looks into a model directory without loading it: is it what Apex can train, and what are its facts."""

import hashlib
import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from django.utils.translation import gettext as _

from rendering import Renderer, RenderError

CARD = "apex.json"
HASHED = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CHUNK = 1024 * 1024
HEADER_LIMIT = 100 * 1024 * 1024


class UnusableModel(Exception):
    """The directory holds no base model that Apex can use; the message says why and what to do."""


@dataclass(frozen=True)
class ModelFacts:
    parameters: int
    size_bytes: int
    context: int  # tokens
    sha256: str  # of weights, config and tokenizer
    card: dict  # apex.json, if the model brings one


def inspect_directory(path: Path) -> ModelFacts:
    """Facts of the causal language model in `path`, safetensors only, no code of its own.

    Raises `UnusableModel`.
    """
    if not path.is_dir():
        raise UnusableModel(_("%(path)s is not a directory.") % {"path": path})
    config = read_json(path / "config.json")
    check_config(path, config)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise UnusableModel(
            _("%(path)s has no .safetensors file. Other formats can hold code and are not loaded.")
            % {"path": path}
        )
    try:
        renderer = Renderer.from_directory(path)
        renderer.render_prompt([{"role": "user", "content": "hello"}])
    except RenderError as problem:
        raise UnusableModel(str(problem)) from problem
    return ModelFacts(
        parameters=sum(count_parameters(file) for file in weights),
        size_bytes=sum(file.stat().st_size for file in weights),
        context=renderer.context or 2048,
        sha256=hash_files([*weights, *(path / name for name in HASHED if (path / name).exists())]),
        card=read_json(path / CARD) if (path / CARD).exists() else {},
    )


def check_config(path: Path, config: dict) -> None:
    architectures = config.get("architectures") or []
    if not any(name.endswith("ForCausalLM") for name in architectures):
        raise UnusableModel(
            _("%(path)s holds %(found)s; a causal language model (…ForCausalLM) is needed.")
            % {"path": path, "found": ", ".join(architectures) or _("no named architecture")}
        )
    if "auto_map" in config:
        raise UnusableModel(
            _(
                "%(path)s wants to run code of its own (auto_map in config.json). Apex loads no code from models."
            )
            % {"path": path}
        )


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise UnusableModel(_("%(path)s is missing.") % {"path": path}) from problem
    except (OSError, ValueError) as problem:
        raise UnusableModel(
            _("%(path)s cannot be read: %(why)s") % {"path": path, "why": problem}
        ) from problem
    if not isinstance(content, dict):
        raise UnusableModel(_("%(path)s should hold a JSON object.") % {"path": path})
    return content


def count_parameters(path: Path) -> int:
    """From the header alone (safetensors format: 8 bytes of length, then JSON of shapes)."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_LIMIT + 1
        if length > HEADER_LIMIT:
            raise UnusableModel(_("%(path)s is not a safetensors file.") % {"path": path})
        try:
            header = json.loads(file.read(length))
        except ValueError as problem:
            raise UnusableModel(_("%(path)s has a damaged header.") % {"path": path}) from problem
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
