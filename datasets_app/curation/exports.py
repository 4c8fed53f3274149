"""Approved rows as files that trainers read: one function for each shape, in a literal dict. No Django inside."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datasets_app.formats.base import CHAT, PREFERENCE, TEXT, UNPAIRED

from .row_keys import kind_of_content, row_key

Row = dict[str, Any]


class Unfit(Exception):
    """The row cannot be said in this shape; `str()` is the reason, which is counted."""


@dataclass(frozen=True)
class Judged:
    """A row that somebody judged: as it was, as it should be (None: as it was), and whether it was approved."""

    row: Row
    edited: Row | None = None
    is_starred: bool = True

    @property
    def best(self) -> Row:
        return self.row if self.edited is None else self.edited


@dataclass
class Exporting:
    """Iterates over the records of `judged` in the shape `shape`; `skipped` counts what could not go, by reason."""

    judged: Iterable[Judged]
    shape: str
    count: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Row]:
        if self.shape == "preference":
            yield from self._preferences()
            return
        make = SHAPES[self.shape]
        for each in self.judged:
            if not each.is_starred:
                continue
            try:
                record = make(each.best)
            except Unfit as reason:
                self.skipped[str(reason)] += 1
            else:
                self.count += 1
                yield record

    def _preferences(self) -> Iterator[Row]:
        """Approved pairs; edited answers against their originals; starred against rejected of the same prompt."""
        answers: dict[str, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
        prompts: dict[str, Row] = {}
        for each in self.judged:
            try:
                pairs = self._own_pairs(each, answers, prompts)
            except Unfit as reason:
                if each.is_starred:
                    self.skipped[str(reason)] += 1
                continue
            for pair in pairs:
                self.count += 1
                yield pair
        for key, (starred, rejected) in answers.items():
            if not rejected:
                self.skipped[NO_PAIR] += len(starred)
                continue
            for chosen in starred:
                for worse in rejected:
                    if chosen["answer"] != worse["answer"]:
                        self.count += 1
                        yield preference(prompts[key], chosen["answer"], worse["answer"])

    def _own_pairs(self, each: Judged, answers: dict, prompts: dict[str, Row]) -> list[Row]:
        """The pairs that one row makes by itself; what it does not make is remembered in `answers`."""
        if kind_of_content(each.row) == PREFERENCE:
            return [pair_of(each.best)] if each.is_starred else []
        before = split_answer(each.row)
        if each.is_starred and each.edited is not None:
            after = split_answer(each.edited)
            if after["prompt"] == before["prompt"] and after["answer"] != before["answer"]:
                return [preference(after, after["answer"], before["answer"])]
        best = split_answer(each.best)
        key = row_key({"messages": best["prompt"], "tools": best.get("tools")})
        prompts.setdefault(key, best)
        answers[key][not each.is_starred].append(best)
        return []


NO_PAIR = "there is no other answer to the same question to compare it with"


def split_answer(row: Row) -> Row:
    """`{"prompt": [messages], "answer": [messages], "tools"?}` of a conversation. Raises Unfit."""
    kind = kind_of_content(row)
    if kind == UNPAIRED:
        if not row["label"]:
            raise Unfit("it is marked as a bad answer")
        parts = {"prompt": row["prompt"], "answer": row["completion"]}
    elif kind == PREFERENCE:
        parts = {"prompt": row["prompt"], "answer": row["chosen"]}
    elif kind == TEXT:
        raise Unfit("it is plain text, without a question and an answer")
    else:
        messages = row["messages"]
        at = max((n for n, each in enumerate(messages) if each["role"] == "user"), default=-1) + 1
        parts = {"prompt": messages[:at], "answer": messages[at:]}
    if not parts["prompt"] or not parts["answer"]:
        raise Unfit("it has no question before its answer")
    return parts | ({"tools": row["tools"]} if row.get("tools") else {})


def messages_of(row: Row) -> list[Row]:
    """The whole conversation, the approved answer last. Raises Unfit."""
    if kind_of_content(row) == CHAT:
        return row["messages"]
    parts = split_answer(row)
    return [*parts["prompt"], *parts["answer"]]


def preference(prompt: Row, chosen: list[Row], rejected: list[Row]) -> Row:
    tools = {"tools": prompt["tools"]} if prompt.get("tools") else {}
    return {"prompt": prompt["prompt"], "chosen": chosen, "rejected": rejected} | tools


def pair_of(row: Row) -> Row:
    return preference(row, row["chosen"], row["rejected"])


def as_openai(row: Row) -> Row:
    """`{"messages", "tools"?}` with weights, as OpenAI's fine-tuning files."""
    return {"messages": messages_of(row)} | ({"tools": row["tools"]} if row.get("tools") else {})


def as_chatml(row: Row) -> Row:
    """`{"text": "<|im_start|>role\\ncontent<|im_end|>\\n…"}`."""
    messages = plain_messages(row)
    if any("<|im_" in each["content"] for each in messages):
        raise Unfit("its text holds the marks of ChatML themselves (<|im_start|> or <|im_end|>)")
    return {"text": "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)}


def as_alpaca(row: Row) -> Row:
    """`{"instruction", "input": "", "output", "system"?, "history"?}`."""
    messages = plain_messages(row)
    record: Row = {}
    if messages[0]["role"] == "system":
        record["system"] = messages[0]["content"]
        messages = messages[1:]
    roles = [each["role"] for each in messages]
    if len(roles) < 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Unfit("question and answer do not take turns")
    said = [each["content"] for each in messages]
    record = {"instruction": said[-2], "input": "", "output": said[-1]} | record
    if len(said) > 2:
        record["history"] = [list(pair) for pair in zip(said[:-2:2], said[1:-2:2], strict=True)]
    return record


def as_prompt_completion(row: Row) -> Row:
    """`{"prompt", "completion"}`: two texts where there is one question, else two lists of messages.

    As in TRL, only the completion is learned: answers in the prompt are context.
    """
    refuse_tools(row)
    parts = split_answer(row)
    if any(each["role"] == "assistant" and each.get("weight", 1) != 0 for each in parts["prompt"]):
        raise Unfit("an earlier answer of it is learned too, which this shape cannot say")
    if any(each.get("weight") == 0 for each in parts["answer"]):
        raise Unfit("its last answer is context only (weight 0), which this shape cannot say")
    if len(parts["prompt"]) == 1 and len(parts["answer"]) == 1:
        return {"prompt": parts["prompt"][0]["content"], "completion": parts["answer"][0]["content"]}
    prompt = [{"role": each["role"], "content": each["content"]} for each in parts["prompt"]]
    return {"prompt": prompt, "completion": parts["answer"]}


def plain_messages(row: Row) -> list[Row]:
    """The messages of a row that has neither tools nor answers that are context only. Raises Unfit."""
    refuse_tools(row)
    messages = messages_of(row)
    if any(each.get("weight") == 0 for each in messages):
        raise Unfit("one of its answers is context only (weight 0), which this shape cannot say")
    return messages


def refuse_tools(row: Row) -> None:
    if row.get("tools") or any(m["role"] == "tool" or m.get("tool_calls") for m in messages_of(row)):
        raise Unfit("it uses tools, which this shape cannot say")


SHAPES: dict[str, Callable[[Row], Row]] = {
    "openai": as_openai,
    "chatml": as_chatml,
    "alpaca": as_alpaca,
    "prompt-completion": as_prompt_completion,
    "preference": pair_of,
}
