"""Turns as a format finds them, tidied into the messages of a row: what every format of conversations shares."""

import re
from collections.abc import Sequence
from typing import Any

from .base import (
    CHAT,
    PREFERENCE,
    UNPAIRED,
    WARNINGS_KEPT,
    BadRow,
    Example,
    Message,
    Turn,
    conversation_of,
    excerpt,
    refuse_images,
    split_of,
    text_of,
)
from .tools import Open, tools_of

TAKE_TURNS = "Let person and assistant take turns."
WHO = {"user": "questions", "assistant": "answers"}
# A name in double braces that a template was to fill in; code and templates of templates are left alone.
PLACEHOLDER = re.compile(r"\{\{\s*[A-Za-z_][A-Za-z0-9_]*\s*\}\}")
CODE = ("```", "{%", "</")


def make_example(turns: Sequence[Turn], record: dict[str, Any], conversation: str | None = None) -> Example:
    """Turns as a chat example, or BadRow.

    System texts at the start are joined; turns of the same role in a row are joined (equal ones kept
    once), because several chat templates refuse them; what comes before the first question and after the
    last answer is left off. Each of these is told in `warnings`, the first WARNINGS_KEPT of them.
    """
    refuse_images(record)
    system, messages, warnings = tidy(turns)
    _trim_start(messages, warnings)
    _trim_end(messages, warnings)
    _refuse_incomplete(messages)
    content: dict[str, Any] = {"messages": [*system, *messages]}
    return _example(content, CHAT, record, warnings, conversation)


def make_preference(
    prompt: Sequence[Turn],
    chosen: Sequence[Turn],
    rejected: Sequence[Turn],
    record: dict[str, Any],
    conversation: str | None = None,
) -> Example:
    """A question with a better and a worse answer, or BadRow."""
    refuse_images(record)
    asked, warnings = _prompt(prompt)
    better, worse = (
        _completion(turns, name, warnings) for turns, name in ((chosen, "chosen"), (rejected, "rejected"))
    )
    if better == worse:
        raise BadRow(
            "The better and the worse answer are the same, so there is nothing to prefer.",
            "Write another worse answer, or leave out this row.",
            excerpt(better[-1]["content"]),
            "equal_answers",
        )
    content = {"prompt": asked, "chosen": better, "rejected": worse}
    return _example(content, PREFERENCE, record, warnings, conversation)


def make_unpaired(
    prompt: Sequence[Turn], completion: Sequence[Turn], label: bool, record: dict[str, Any]
) -> Example:
    """A question with one answer that is good (True) or bad, or BadRow."""
    refuse_images(record)
    asked, warnings = _prompt(prompt)
    answer = _completion(completion, "completion", warnings)
    return _example({"prompt": asked, "completion": answer, "label": label}, UNPAIRED, record, warnings)


def _example(
    content: dict[str, Any],
    kind: str,
    record: dict[str, Any],
    warnings: list[BadRow],
    conversation: str | None = None,
) -> Example:
    if tools := tools_of(record):
        content["tools"] = tools
    if placeholder := _placeholder_in(content):
        warnings.append(placeholder)
    key = conversation or conversation_of(record)
    return Example(content, kind, key, split_of(record), tuple(warnings[:WARNINGS_KEPT]))


def tidy(turns: Sequence[Turn]) -> tuple[list[Message], list[Message], list[BadRow]]:
    """(the system message, if any, in a list; the messages; warnings): checked, and joined where one role speaks
    twice in a row. Raises BadRow."""
    warnings: list[BadRow] = []
    system: list[str] = []
    messages: list[Message] = []
    said: list[list[str]] = []  # the texts of each message, joined in the end
    calls = Open(warnings)
    for number, turn in enumerate(turns, 1):
        role = turn.role
        text = text_of(turn.content, f"the text of message {number}")
        if role == "system":
            if messages:
                raise BadRow(
                    f"Message {number} gives instructions (role “system”) in the middle of the conversation.",
                    "Put the system message first, or leave it out.",
                    code="role_order",
                )
            if text.strip():
                system.append(text)
            continue
        if not text.strip() and role != "tool" and not turn.tool_calls:
            who = "answer" if role == "assistant" else "question"
            raise BadRow(
                f"Message {number}, the {who}, is empty.",
                "Fill it in, or leave out this example.",
                code="empty_text",
            )
        if role == "tool":
            said.append([text])
            messages.append(calls.answer(turn, number, messages))
            continue
        if calls.open:
            calls.refuse_unanswered(number)
        if messages and messages[-1]["role"] == role:
            warning = _join(messages[-1], said[-1], turn, text, number)
            if warning and len(warnings) < WARNINGS_KEPT:
                warnings.append(warning)
        else:
            said.append([text])
            messages.append(_message(turn))
        if turn.tool_calls:
            calls.ask(turn, number, messages[-1])
    for message, texts in zip(messages, said, strict=True):
        message["content"] = (
            texts[0] if len(texts) == 1 else "\n\n".join(text for text in texts if text.strip())
        )
    return [{"role": "system", "content": "\n\n".join(system)}] if system else [], messages, warnings


def _message(turn: Turn) -> Message:
    message: Message = {"role": turn.role, "content": ""}
    if turn.name:
        message["name"] = turn.name
    if not turn.weight and turn.role == "assistant":
        message["weight"] = 0
    return message


def _join(message: Message, texts: list[str], turn: Turn, text: str, number: int) -> BadRow | None:
    """Adds a turn to the message of the same role before it, unless it repeats it; the warning about it."""
    if not turn.weight and turn.role == "assistant":
        message["weight"] = 0  # what is marked as context is never learned
    if texts[-1].strip() == text.strip() and text.strip():
        texts[-1] = min(texts[-1], text, key=len)  # so that white space at its ends is looked at once
        if turn.tool_calls:
            return None
        problem = f"Message {number} says the same as the one before it and was left out."
        return BadRow(problem, TAKE_TURNS, code="repeated_turn")
    texts.append(text)
    if turn.tool_calls and not text.strip():
        return None  # words, then a call: one turn in two records
    problem = f"Two {WHO[turn.role]} in a row (message {number} is the second) were joined into one."
    return BadRow(problem, TAKE_TURNS, code="role_order")


def _trim_start(messages: list[Message], warnings: list[BadRow]) -> None:
    """Leaves off what stands before the first question."""
    if len(messages) < 2 or messages[0]["role"] == "user":
        return
    first = next((at for at, message in enumerate(messages) if message["role"] == "user"), None)
    if first is None:
        return
    del messages[:first]
    warnings.append(
        BadRow(
            "It begins with an answer; that turn was left off, as nothing was asked.",
            "Begin with the person's turn.",
            code="role_order",
        )
    )


def _trim_end(messages: list[Message], warnings: list[BadRow]) -> None:
    """Leaves off what stands behind the last answer."""
    if len(messages) > 1 and messages[-1]["role"] == "user":
        del messages[-1]
        warnings.append(
            BadRow(
                "It ends with a question; that turn was left off, as nothing answers it.",
                "End with the assistant's turn.",
                code="role_order",
            )
        )
    if len(messages) > 1 and messages[-1]["role"] == "tool":
        while messages[-1]["role"] == "tool":
            del messages[-1]
        warnings.append(
            BadRow(
                "It ends with a tool's answer; that was left off, as the assistant says nothing to it.",
                "End with the assistant's turn.",
                code="role_order",
            )
        )


def _refuse_incomplete(messages: list[Message]) -> None:
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers:
        raise BadRow(
            "There is no answer to learn from (no turn of the assistant).",
            "Add the answer you would want, or leave out this example.",
            code="no_answer",
        )
    if not any(message["role"] == "user" for message in messages):
        raise BadRow(
            "There is an answer but no question (no turn of the person).",
            "Add what the person says.",
            code="no_question",
        )
    if all(message.get("weight") == 0 for message in answers):
        raise BadRow(
            "Every answer has weight 0, so nothing is learned.",
            "Give the answer to learn weight 1.",
            code="nothing_learned",
        )


def _prompt(turns: Sequence[Turn]) -> tuple[list[Message], list[BadRow]]:
    """The messages before the answers that are compared: they begin and end with what is asked."""
    system, messages, warnings = tidy(turns)
    _trim_start(messages, warnings)
    if not any(message["role"] == "user" for message in messages):
        raise BadRow(
            "There are answers but no question (no turn of the person).",
            "Add what the person says.",
            code="no_question",
        )
    if messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"):
        raise BadRow(
            "The question ends with an answer of the assistant's, where the person's turn was expected.",
            "End the “prompt” with what the person asks.",
            code="role_order",
        )
    for message in messages:
        message.pop("weight", None)
    return [*system, *messages], warnings


def _completion(turns: Sequence[Turn], name: str, warnings: list[BadRow]) -> list[Message]:
    """The messages of one answer: the assistant's, with what its tools and the person say in between."""
    system, messages, more = tidy(turns)
    warnings += more
    if system or not messages or messages[0]["role"] != "assistant":
        found = "instructions" if system else f"a turn of {messages[0]['role']}" if messages else "nothing"
        raise BadRow(
            f"“{name}” begins with {found}, expected an answer of the assistant's.",
            "Put everything before the answer into “prompt”.",
            code="role_order" if messages or system else "no_answer",
        )
    _trim_end(messages, warnings)
    for message in messages:
        message.pop("weight", None)
    return messages


def _placeholder_in(content: dict[str, Any]) -> BadRow | None:
    for name in ("messages", "prompt", "completion", "chosen", "rejected"):
        for message in content.get(name, ()):
            text = message["content"]
            if (
                "{{" in text
                and (found := PLACEHOLDER.search(text))
                and not any(mark in text for mark in CODE)
            ):
                return BadRow(
                    f"It holds the placeholder {excerpt(found[0], width=40)}, which nobody filled in; "
                    "the model would learn to write it.",
                    "Replace it by the name that is meant.",
                    excerpt(text, found.start()),
                    "placeholder",
                )
    return None
