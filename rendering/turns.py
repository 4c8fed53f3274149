"""Where the answers are in a rendered conversation, and how a long one is shortened."""

from typing import Any

from rendering.errors import RenderError
from rendering.template import ChatTemplate

# Stands in for an answer to find where a template puts it; no template trims or changes it.
PLACEHOLDER = "\ue0f2answer\ue0f3"


def turn_starts(messages: list[dict]) -> list[int]:
    """Index of the first message of each turn: a user's message after anything else than a user's.

    Messages before the first user message (system) belong to no turn.
    """
    roles = [message["role"] for message in messages]
    return [
        index
        for index, role in enumerate(roles)
        if role == "user" and (index == 0 or roles[index - 1] != "user")
    ]


def drop_oldest_turns(messages: list[dict], count: int) -> list[dict]:
    """`messages` without the first `count` turns; what stands before the first turn stays."""
    starts = turn_starts(messages)
    return messages[: starts[0]] + messages[starts[count] :]


def answer_ranges(
    template: ChatTemplate, messages: list[dict], variables: dict[str, Any], special_texts: tuple[str, ...]
) -> tuple[str, list[tuple[int, int]]]:
    """(text, character ranges that are learned), by the template's own tags where it has them.

    Else by what each answer adds to the text before it, else by where a stand-in for the answer lands.
    Every range takes in the end-of-turn token, so that the model learns to stop.
    """
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    plain = [{key: value for key, value in message.items() if key != "weight"} for message in messages]
    text = template.render(plain, add_generation_prompt=False, **variables)
    ranges = None
    if template.has_generation:
        marked, found = template.render_marked(plain, add_generation_prompt=False, **variables)
        # A template that post-processes the marked text is not to be trusted with the marks.
        if marked == text and (len(found) == len(weights) or all(weights)):
            ranges = found
            weights = weights if len(found) == len(weights) else [1] * len(found)
    if ranges is None:
        indexes = [index for index, message in enumerate(plain) if message["role"] == "assistant"]
        ranges = [_range_of(template, plain, index, text, variables) for index in indexes]
    ranges = _with_end_of_turn(text, ranges, special_texts)
    return text, [span for span, weight in zip(ranges, weights, strict=True) if weight and span[1] > span[0]]


def _range_of(
    template: ChatTemplate, messages: list[dict], index: int, text: str, variables: dict[str, Any]
) -> tuple[int, int]:
    found = _by_prefix(template, messages, index, text, variables) or _by_placeholder(
        template, messages, index, text, variables
    )
    if found is None:
        raise RenderError(
            f"The model's chat template does not show where the answer in message {index + 1} is: it has no "
            "generation tags, and its text changes with what comes after."
        )
    return found


def _by_prefix(template, messages, index, text, variables) -> tuple[int, int] | None:
    """What message `index` adds to the prompt before it, if the template only ever appends."""
    try:
        before = template.render(messages[:index], add_generation_prompt=True, **variables)
        through = template.render(messages[: index + 1], add_generation_prompt=False, **variables)
    except RenderError:
        # A template may refuse half a conversation and accept the whole one.
        return None
    if through.startswith(before) and text.startswith(through):
        return len(before), len(through)
    return None


def _by_placeholder(template, messages, index, text, variables) -> tuple[int, int] | None:
    """Where a stand-in for the answer lands, if everything around it stays as it is."""
    swapped = [dict(message) for message in messages]
    # Calls stand between the words and the end of the turn, so that a stand-in for both shows where it ends.
    swapped[index] = {"role": messages[index]["role"], "content": PLACEHOLDER}
    try:
        before, found, after = template.render(swapped, add_generation_prompt=False, **variables).partition(
            PLACEHOLDER
        )
    except RenderError:
        return None
    if not found or not text.startswith(before) or not text.endswith(after):
        return None
    end = len(text) - len(after)
    return (len(before), end) if end >= len(before) else None


def _with_end_of_turn(
    text: str, ranges: list[tuple[int, int]], special_texts: tuple[str, ...]
) -> list[tuple[int, int]]:
    """Ranges that end right after the end-of-turn token: neither before it nor with the line break behind."""
    if not ranges:
        return []
    start, end = ranges[-1]
    # After the last answer nothing but its end can follow, so what stands there is the end-of-turn token.
    inside = text[start:end].rstrip()
    closing = next((special for special in special_texts if inside.endswith(special)), None)
    if closing is None:
        tail = text[end:].lstrip()
        closing = next((special for special in special_texts if tail.startswith(special)), None)
    if closing is None:
        return ranges
    fitted = []
    for start, end in ranges:
        trimmed = len(text[:end].rstrip())
        if text.startswith(closing, trimmed - len(closing)) and trimmed - len(closing) >= start:
            end = trimmed
        else:
            gap = len(text[end:]) - len(text[end:].lstrip())
            if text.startswith(closing, end + gap):
                end += gap + len(closing)
        fitted.append((start, end))
    return fitted
