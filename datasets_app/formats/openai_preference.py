"""OpenAI's preferences: `{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}`."""

from typing import Any

from .base import PREFERENCE, BadRow, Example, Turn, field, kind_of
from .chat import read_list
from .conversation import make_preference

NAME = "openai-preference"
KIND = PREFERENCE
SHAPE = (
    '{"input": {"messages": [{"role": "user", "content": "…"}]}, '
    '"preferred_output": [{"role": "assistant", "content": "…"}], '
    '"non_preferred_output": [{"role": "assistant", "content": "…"}]}'
)


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has an output that is preferred and one that is not."""
    return "preferred_output" in record and "non_preferred_output" in record


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as one preference; raises BadRow. Tools stand beside the messages of the input."""
    asked = field(record, "input", SHAPE)
    if not isinstance(asked, dict):
        mend = f"Write it as {SHAPE}."
        raise BadRow(
            f"“input” is {kind_of(asked)}, expected an object with “messages”.", mend, code="wrong_type"
        )
    prompt = read_list(field(asked, "messages", SHAPE), "messages")
    chosen, rejected = (_output(record, name) for name in ("preferred_output", "non_preferred_output"))
    tools = {name: asked[name] for name in ("tools", "functions") if name in asked}
    return [make_preference(prompt, chosen, rejected, {**record, **tools}, key)]


def _output(record: dict[str, Any], name: str) -> list[Turn]:
    value = field(record, name, SHAPE)
    return read_list([value] if isinstance(value, dict) else value, name)
