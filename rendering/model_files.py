"""Reads what rendering needs from a model directory: tokenizer, chat template, special tokens, context."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from rendering.errors import RenderError

TOKENIZER, TOKENIZER_CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
CONFIG, GENERATION_CONFIG, SPECIAL_MAP = "config.json", "generation_config.json", "special_tokens_map.json"
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Tokenizers without a limit of their own say 1e30.
NO_LIMIT = 10_000_000


@dataclass(frozen=True)
class ModelFiles:
    """What a directory says. `context` is in tokens, None when nothing names it."""

    tokenizer: Tokenizer
    template: str
    special_tokens: dict[str, str] = field(default_factory=dict)
    stop_token_ids: tuple[int, ...] = ()
    context: int | None = None


def stamp(directory: Path) -> tuple:
    """Changes whenever a file changes that rendering reads, so that a cache notices."""
    names = (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE, CONFIG, GENERATION_CONFIG, SPECIAL_MAP)
    paths = [directory / name for name in names]
    return tuple((path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None for path in paths)


def read_model_files(directory: Path) -> ModelFiles:
    """Reads `directory`; raises RenderError naming the file that is missing or broken."""
    if not (directory / TOKENIZER).is_file():
        raise RenderError(f"{directory} has no {TOKENIZER}; a fast tokenizer is needed.")
    try:
        tokenizer = Tokenizer.from_file(str(directory / TOKENIZER))
    # tokenizers raises a bare Exception for whatever is wrong in the file.
    except Exception as error:
        raise RenderError(f"{directory / TOKENIZER} cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    settings = _json(directory / TOKENIZER_CONFIG)
    special = _special_tokens(settings, _json(directory / SPECIAL_MAP))
    _add_missing_tokens(tokenizer, settings, special)
    config = _json(directory / CONFIG)
    return ModelFiles(
        tokenizer=tokenizer,
        template=_template(directory, settings),
        special_tokens=special,
        stop_token_ids=_stop_ids(tokenizer, special, config, _json(directory / GENERATION_CONFIG)),
        context=_context(config, settings),
    )


def _json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RenderError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RenderError(f"{path} should hold a JSON object, not {type(value).__name__}.")
    return value


def _template(directory: Path, settings: dict) -> str:
    path = directory / TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    if not isinstance(template, str) or not template:
        raise RenderError(
            f"{directory} has no chat template ({TEMPLATE}, or chat_template in {TOKENIZER_CONFIG})."
        )
    return template


def _special_tokens(settings: dict, special_map: dict) -> dict[str, str]:
    """bos_token, eos_token … as text, and the tokens a model names beyond the usual ones."""
    found = {}
    extra = settings.get("extra_special_tokens")
    named_extra = extra if isinstance(extra, dict) else {}
    for source in (special_map, settings, named_extra):
        names = source if source is named_extra else [name for name in NAMED if name in source]
        for name in names:
            value = source[name]
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                found[name] = text
    return found


def _add_missing_tokens(tokenizer: Tokenizer, settings: dict, special: dict[str, str]) -> None:
    """Adds what tokenizer_config.json names and tokenizer.json lacks, as transformers does on loading."""
    decoder = settings.get("added_tokens_decoder") or {}
    for _, entry in sorted(decoder.items(), key=lambda item: int(item[0])):
        if tokenizer.token_to_id(entry["content"]) is None:
            flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
            token = AddedToken(entry["content"], **{name: bool(entry.get(name)) for name in flags})
            (tokenizer.add_special_tokens if entry.get("special") else tokenizer.add_tokens)([token])
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    missing = [text for text in special.values() if text not in known]
    if missing:
        tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in missing])


def _stop_ids(
    tokenizer: Tokenizer, special: dict[str, str], config: dict, generation: dict
) -> tuple[int, ...]:
    ids: list[int] = []
    for source in (generation, config):
        value = source.get("eos_token_id")
        ids += value if isinstance(value, list) else [value] if isinstance(value, int) else []
    if "eos_token" in special:
        ids.append(tokenizer.token_to_id(special["eos_token"]))
    return tuple(dict.fromkeys(ids))


def _context(config: dict, settings: dict) -> int | None:
    text_config = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    for value in (
        config.get("max_position_embeddings"),
        text_config.get("max_position_embeddings"),
        config.get("n_positions"),
        settings.get("model_max_length"),
    ):
        if isinstance(value, (int, float)) and 0 < value < NO_LIMIT:
            return int(value)
    return None
