"""Preferences: `{"prompt": "…", "chosen": "…", "rejected": "…"}`, each a text or a list of messages.

TRL's "preference", LLaMA-Factory's in its alpaca and sharegpt shapes (`ranking: true`), UltraFeedback's (whole
conversations beside their prompt) and Stack Exchange's pairs (`question`, `response_j`, `response_k`).
"""

from typing import Any

from . import alpaca, sharegpt
from .base import PREFERENCE, BadRow, Example, Turn, excerpt, field
from .conversation import make_preference
from .prompt_completion import prompt_turns, turns_of

NAME = "preference"
KIND = PREFERENCE
SHAPE = '{"prompt": "…", "chosen": "…", "rejected": "…"}'

ANSWERS = (("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response_j", "response_k"))
QUESTIONS = ("prompt", "question", "query", "conversations", "messages", "instruction", "input")


def fits(record: dict[str, Any]) -> bool:
    """Whether the record has a question, a better and a worse answer."""
    if _answers(record):
        return _question(record) is not None
    return "instruction" in record and _is_two_answers(record.get("output"))


def _answers(record: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in ANSWERS if pair[0] in record and pair[1] in record), None)


def _question(record: dict[str, Any]) -> str | None:
    return next((name for name in QUESTIONS if name in record), None)


def _is_two_answers(value: Any) -> bool:
    """LLaMA-Factory's older way: the better answer, then the worse one."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def to_examples(record: dict[str, Any], key: str | None = None) -> list[Example]:
    """The record as one preference; raises BadRow."""
    pair, name = _answers(record), _question(record)
    if pair is None and _is_two_answers(record.get("output")):
        record = {**record, "chosen": record["output"][0], "rejected": record["output"][1]}
        pair = ANSWERS[0]
    if pair is None or name is None:
        for needed in ("prompt", "chosen", "rejected"):
            field(record, needed, SHAPE)
        raise BadRow("The question is missing.", f"Write it as {SHAPE}.", code="missing_field")
    chosen, rejected = (answer_turns(record[one], one) for one in pair)
    prompt = _prompt(record, name, chosen)
    return [
        make_preference(
            prompt, _behind(prompt, chosen, pair[0]), _behind(prompt, rejected, pair[1]), record, key
        )
    ]


def _prompt(record: dict[str, Any], name: str, chosen: list[Turn]) -> list[Turn]:
    if name == "instruction":
        return [*alpaca.turns_before(record), Turn("user", alpaca.question_of(record))]
    if name == "conversations" and isinstance(record[name], list) and record[name]:
        return sharegpt.read_turns(record[name])
    if name == "messages":
        # UltraFeedback keeps the whole better conversation here; then the question is what both answers share.
        turns = turns_of(record[name], "user", name)
        return turns[:-1] if turns[-1].role == "assistant" and len(turns) > 1 else turns
    return prompt_turns(record, name)


def answer_turns(value: Any, name: str) -> list[Turn]:
    """An answer as turns: a text, messages, or one turn of sharegpt's."""
    if isinstance(value, dict) and "from" in value:
        return [sharegpt.read_turn(1, value)]
    if isinstance(value, list) and value and isinstance(value[0], dict) and "from" in value[0]:
        return sharegpt.read_turns(value)
    return turns_of(value, "assistant", name)


def _behind(prompt: list[Turn], answer: list[Turn], name: str) -> list[Turn]:
    """The answer without the prompt, where it repeats that; raises BadRow when it begins otherwise."""
    if answer[0].role == "assistant":
        return answer
    asked = [_said(turn) for turn in prompt]
    for begin in (asked, [turn for turn in asked if turn[0] != "system"]):
        if [_said(turn) for turn in answer[: len(begin)]] == begin:
            return answer[len(begin) :]
    raise BadRow(
        f"“{name}” begins with a question that is not the one of the prompt.",
        "Put what is asked into “prompt”, and only the answer into “chosen” and “rejected”.",
        excerpt(str(answer[0].content)),
        "different_prompts",
    )


def _said(turn: Turn) -> tuple[str, Any]:
    return turn.role, turn.content.strip() if isinstance(turn.content, str) else turn.content
