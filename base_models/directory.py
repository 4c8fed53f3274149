"""Looks into a model directory without loading it: is it what Apex can train, and what are its facts."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from rendering import Renderer, RenderError
from rendering.model_facts import read_model_facts

CARD = "apex.json"
HASHED = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CHUNK = 1024 * 1024


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
    try:
        facts = read_model_facts(path)
        renderer = Renderer.from_directory(path)
        renderer.render_prompt([{"role": "user", "content": "hello"}])
    except RenderError as problem:
        raise UnusableModel(str(problem)) from problem
    weights = sorted(path.glob("*.safetensors"))
    return ModelFacts(
        parameters=facts.parameters,
        size_bytes=facts.weight_bytes,
        context=renderer.context or facts.context or 2048,
        sha256=hash_files([*weights, *(path / name for name in HASHED if (path / name).exists())]),
        card=read_json(path / CARD) if (path / CARD).exists() else {},
    )


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UnusableModel(
            _("%(path)s cannot be read: %(why)s") % {"path": path, "why": problem}
        ) from problem
    if not isinstance(content, dict):
        raise UnusableModel(_("%(path)s should hold a JSON object.") % {"path": path})
    return content


def hash_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
