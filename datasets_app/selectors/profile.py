"""What the page “What the model sees” shows of one example, and what it may be asked."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _

from base_models.models import BaseModel
from datasets_app import token_view
from datasets_app.models import Dataset, DatasetVersion
from datasets_app.reference_rows import rows_shown
from datasets_app.selectors.catalogue import rows_of, versions_of
from datasets_app.sources import SourceError
from datasets_app.token_view import Reading, Token
from rendering import Renderer, RenderError
from rendering.lengths import SHORTEST_MAX_LENGTH

# A page of more tokens is of no use to anybody; the beginning and the end are shown.
TOKENS_SHOWN = 6000


class BadChoice(ValueError):
    """`field` was given what it cannot take; the text names the value and what it can."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


class NotRendered(Exception):
    """The base model cannot read this example; the text says why, `advice` what to do."""

    def __init__(self, message: str, advice: str):
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True)
class Stretch:
    """Tokens side by side that are all learned, or all only read."""

    is_trained: bool
    tokens: list[Token]


def usable_base_models() -> list[BaseModel]:
    return list(BaseModel.objects.on_this_machine())


def chosen_base_model(key: str) -> BaseModel | None:
    """The base model with this name or id; without a key the smallest; None if none is on this machine.

    Raises BadChoice.
    """
    usable = usable_base_models()
    if not key:
        return usable[0] if usable else None
    found = next((model for model in usable if key in (model.name, str(model.pk))), None)
    if found is None:
        names = ", ".join(model.name for model in usable) or _("none yet")
        raise BadChoice(
            "base_model",
            _("There is no base model “%(key)s” on this machine; there are: %(names)s.")
            % {"key": key[:80], "names": names},
        )
    return found


def chosen_max_length(text: str, base_model: BaseModel) -> int:
    """Tokens to read of an example; without a text what a training would take. Raises BadChoice."""
    if not text:
        return base_model.usual_length
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
    if number is None or not SHORTEST_MAX_LENGTH <= number <= base_model.context:
        raise BadChoice(
            "max_length",
            _("The longest example cannot be “%(text)s”: a whole number of tokens from %(least)s to %(most)s, "
              "which is all that %(name)s reads at once.")
            % {"text": text[:20], "least": SHORTEST_MAX_LENGTH, "most": base_model.context,
               "name": base_model.display_name},
        )  # fmt: skip
    return number


def chosen_version(dataset: Dataset, text: str) -> DatasetVersion | None:
    """The version of this number, without a number the newest; None if there is none."""
    versions = versions_of(dataset)
    if text:
        is_number = text.isascii() and text.isdigit() and len(text) < 10
        versions = versions.filter(number=int(text)) if is_number else versions.none()
    return versions.first()


def row_at(version: DatasetVersion, index: int) -> dict[str, Any] | None:
    """The row number `index` (from 0); None beyond the last that can be shown. Raises NotRendered for a reference
    whose store does not give it."""
    try:
        rows = rows_of(version, index, 1) if 0 <= index < rows_shown(version) else []
    except SourceError as problem:
        raise NotRendered(
            str(problem), _("See whether its address and connection still work, or check it again.")
        ) from problem
    return rows[0] if rows else None


def readings_of(
    row: dict[str, Any], kind: str, base_model: BaseModel, max_length: int | None
) -> list[Reading]:
    """What the base model reads of a row: one reading, or two of a preference. Raises NotRendered."""
    try:
        renderer = Renderer.from_directory(base_model.path)
    except (RenderError, OSError) as problem:
        raise NotRendered(
            _("%(name)s cannot be used: %(why)s") % {"name": base_model.display_name, "why": problem},
            _("Choose another base model, or put right what is missing in its directory and add it again."),
        ) from problem
    try:
        return token_view.read_row(renderer, row, kind, max_length)
    except RenderError as problem:
        raise NotRendered(
            _("%(name)s cannot read this example: %(why)s")
            % {"name": base_model.display_name, "why": problem},
            _("Choose another base model, or mend this example; a training that meets it stops there."),
        ) from problem


def stretches(tokens: list[Token]) -> list[Stretch]:
    return [Stretch(trained, list(group)) for trained, group in groupby(tokens, lambda one: one.is_trained)]


def shown(reading: Reading) -> dict[str, Any]:
    """A reading for the page: its stretches before and after what is too much to show, and its counts."""
    tokens = reading.tokens
    hidden = max(0, len(tokens) - TOKENS_SHOWN)
    head = tokens[: TOKENS_SHOWN // 2] if hidden else tokens
    tail = tokens[len(tokens) - TOKENS_SHOWN // 2 :] if hidden else []
    return {
        "side": reading.side,
        "head": stretches(head),
        "tail": stretches(tail),
        "hidden_tokens": hidden,
        "token_count": reading.token_count,
        "trained_count": reading.trained_count,
        "trained_percent": round(100 * reading.trained_count / max(1, reading.token_count)),
        "whole_tokens": reading.whole_tokens,
        "cut_tokens": reading.whole_tokens - reading.token_count,
        "dropped": reading.dropped,
        "dropped_turns": reading.dropped_turns,
        "cut_text": reading.cut_text,
        "is_too_long": reading.is_too_long,
        "shortest_tokens": reading.shortest_tokens,
    }


def as_data(reading: Reading) -> dict[str, Any]:
    """A reading for the API."""
    return {
        "side": reading.side,
        "text": reading.rendered.text,
        "spans": [
            {"text": token.text, "trained": token.is_trained, "special": token.is_special}
            for token in reading.tokens
        ],
        "tokens": reading.token_count,
        "trained_tokens": reading.trained_count,
        "whole_tokens": reading.whole_tokens,
        "dropped_turns": reading.dropped_turns,
        "dropped": reading.dropped,
        "cut_text": reading.cut_text,
        "is_too_long": reading.is_too_long,
    }
