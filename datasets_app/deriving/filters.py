"""Rows kept or left out by what they hold and what is known of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from datasets_app.checking.languages import answer_in, language_of
from datasets_app.checking.texts import LISTS, texts_of
from datasets_app.curation.row_keys import row_key

from .material import BadRecipe, Judgement, Material, Row

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)] | None


class FilterSettings(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Rows that meet all that is asked here are kept (or dropped). What is left empty is not asked.

    `role` alone asks for a message of that role; with `contains` it says where to look for the text.
    """

    mode: Literal["keep", "drop"] = "keep"
    split: Literal["", "train", "held_out"] = ""
    contains: Annotated[str, Meta(max_length=500)] = ""
    role: Literal["", "system", "user", "assistant", "tool"] = ""
    min_characters: Count = None
    max_characters: Count = None
    min_turns: Count = None
    max_turns: Count = None
    base_model: str = ""
    min_tokens: Count = None
    max_tokens: Count = None
    language: Annotated[str, Meta(max_length=20)] = ""
    has_tools: bool | None = None
    codes: list[str] = []
    verdict: Literal["", "star", "reject", "none"] = ""
    min_rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    tag: Annotated[str, Meta(max_length=60)] = ""

    @property
    def counts_tokens(self) -> bool:
        return self.min_tokens is not None or self.max_tokens is not None

    @property
    def needs_reviews(self) -> bool:
        return bool(self.verdict or self.min_rating or self.tag)


class Filtering:
    def __init__(self, material: Material, settings: FilterSettings) -> None:
        asked = {name: getattr(settings, name) for name in settings.__struct_fields__ if name != "mode"}
        if not any(value not in ("", None, []) for name, value in asked.items() if name != "base_model"):
            raise BadRecipe("The filter asks for nothing. Name at least one thing that a row must have.")
        if settings.counts_tokens and material.tokens_of is None:
            raise BadRecipe("Name the base model whose tokens are counted.", "base_model")
        self.material, self.settings = material, settings
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        dropped = 0
        for number, row in enumerate(self.material.rows()):
            if self.meets(number, row) == (self.settings.mode == "keep"):
                yield row
            else:
                dropped += 1
        self.told = {"dropped": dropped}

    def meets(self, number: int, row: Row) -> bool:
        """Whether the row is all that is asked. What is cheap to see is looked at first."""
        asked = self.settings
        if asked.split and row["split"] != asked.split:
            return False
        if asked.has_tools is not None and has_tools(row) != asked.has_tools:
            return False
        if not within(turns_of(row), asked.min_turns, asked.max_turns):
            return False
        if not within(characters_of(row), asked.min_characters, asked.max_characters):
            return False
        if (asked.contains or asked.role) and not holds(row, asked.contains.lower(), asked.role):
            return False
        if asked.codes and not self.material.codes_of(number, row) & set(asked.codes):
            return False
        if asked.needs_reviews and not self.is_judged(row):
            return False
        if asked.language and language_of(answer_in(row)) != asked.language:
            return False
        if not asked.counts_tokens:
            return True
        return within(self.material.tokens_of(row), asked.min_tokens, asked.max_tokens)

    def is_judged(self, row: Row) -> bool:
        asked, found = self.settings, self.material.judgements.get(row_key(row), Judgement())
        if asked.verdict and found.verdict != ("" if asked.verdict == "none" else asked.verdict):
            return False
        if asked.min_rating and (found.rating or 0) < asked.min_rating:
            return False
        return not asked.tag or asked.tag in found.tags


class CleanSettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Rows in which one of `codes` was found go; without codes, rows in which anything was found."""

    codes: list[str] = []


class Cleaning:
    def __init__(self, material: Material, settings: CleanSettings) -> None:
        self.material, self.codes = material, set(settings.codes)
        self.told: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Row]:
        by_code: Counter[str] = Counter()
        dropped = 0
        for number, row in enumerate(self.material.rows()):
            found = self.material.codes_of(number, row)
            found = found & self.codes if self.codes else found
            if found:
                dropped += 1
                by_code.update(found)
            else:
                yield row
        self.told = {"dropped": dropped, "by_code": dict(by_code)}


def within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def has_tools(row: Row) -> bool:
    return bool(row.get("tools")) or any(
        message.get("tool_calls") or message["role"] == "tool" for message in messages_of(row)
    )


def messages_of(row: Row) -> Iterator[dict[str, Any]]:
    for name in LISTS:
        yield from row.get(name) or ()


def turns_of(row: Row) -> int:
    return sum(1 for _ in messages_of(row))


def characters_of(row: Row) -> int:
    return sum(map(len, texts_of(row)))


def holds(row: Row, text: str, role: str) -> bool:
    """Whether a text of the row has `text` (in small letters) in it; with `role`, one of a message of that role."""
    if role and not any(message["role"] == role for message in messages_of(row)):
        return False
    roles = frozenset({role}) if role else None
    return not text or any(text in found.lower() for found in texts_of(row, roles))
