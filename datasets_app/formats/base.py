"""What every format shares: the shape of an example, and the words for what is wrong with a row."""

from dataclasses import dataclass
from typing import Any, NamedTuple

# {"role": "system|user|assistant", "content": "…"}; `weight` 0 marks an answer that is context, not learned.
Message = dict[str, Any]


# What is told about one example; a list without end of the same two words helps nobody.
WARNINGS_KEPT = 10


class Turn(NamedTuple):
    """One message as a format finds it: our word for the role, and content that nobody has checked yet."""

    role: str
    content: Any
    weight: int = 1


CHAT, TEXT, PREFERENCE, UNPAIRED = "chat", "text", "preference", "unpaired"


@dataclass(frozen=True)
class Example:
    """One sample: what is trained on, or compared.

    `content` is what its row holds beside conversation, line and split (docs/architecture.md, "Rows"), for its
    `kind`: chat `{"messages", "tools"?}`, text `{"text"}`, preference `{"prompt", "chosen", "rejected", "tools"?}`,
    unpaired `{"prompt", "completion", "label"}`. `conversation` is the key that the file itself gives, or None;
    `split` is "train", "held_out" or None when the file leaves the choice to us. `warnings`: the row is kept.
    """

    content: dict[str, Any]
    kind: str = CHAT
    conversation: str | None = None
    split: str | None = None
    warnings: tuple["BadRow", ...] = ()


class BadRow(ValueError):
    """What is wrong with a row: what was found and expected, how to mend it, and a code of `faults.CODES`."""

    def __init__(self, problem: str, mend: str, found: str = "", code: str = "bad_row") -> None:
        super().__init__(problem)
        self.problem = problem
        self.mend = mend
        self.found = found
        self.code = code


class Skipped(Exception):
    """A row that is right to leave out, such as one without an answer; `reason` is counted, not a fault."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def kind_of(value: Any) -> str:
    """The JSON kind of a value in everyday words, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def text_of(value: Any, where: str) -> str:
    """`value` as text fit for storing.

    Numbers become their digits. A list of OpenAI content parts becomes its texts, one after another.
    Raises BadRow for anything else, and for characters that no UTF-8 file can hold.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    elif isinstance(value, list):
        value = _text_of_parts(value, where)
    if not isinstance(value, str):
        raise BadRow(f"{where} is {kind_of(value)}, expected text.", f'Write {where} as text in quotes: "…".')
    if not value.isascii():
        _refuse_broken_characters(value, where)
    return value


def _text_of_parts(parts: list[Any], where: str) -> str:
    texts = []
    for part in parts:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            kind = part.get("type", "an object") if isinstance(part, dict) else kind_of(part)
            raise BadRow(
                f"{where} holds a part of kind {str(kind)[:40]!r}, expected text only.",
                "Leave out pictures, sound and tool parts, or leave out this example.",
            )
        texts.append(part["text"])
    return "".join(texts)


def _refuse_broken_characters(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        # Bytes that were not UTF-8 were read as U+DC80…U+DCFF; other surrogates were written as escapes.
        if 0xDC80 <= ord(text[error.start]) <= 0xDCFF:
            byte = ord(text[error.start]) - 0xDC00
            raise BadRow(
                f"{where} holds the byte 0x{byte:02X}, which is not UTF-8 text.",
                "Save the file again with the encoding UTF-8 (many programs call it “Unicode (UTF-8)”).",
                excerpt(text, error.start),
            ) from None
        raise BadRow(
            f"{where} holds half of a character (a lone \\u{ord(text[error.start]):04x}).",
            "Write the character out whole, or leave it out.",
            excerpt(text, error.start),
        ) from None


def excerpt(text: str, position: int = 0, width: int = 80) -> str:
    """At most `width` characters around `position`, safe to store and show."""
    start = max(0, position - width // 2)
    piece = text[start : start + width]
    piece = "".join(c if c.isprintable() else " " for c in piece).strip()
    piece = piece.encode("utf-8", "replace").decode("utf-8")
    return ("…" if start else "") + piece + ("…" if start + width < len(text) else "")


def split_of(record: dict[str, Any]) -> str | None:
    """The split a row asks for, or None. Raises BadRow for a word that is not a split."""
    value = record.get("split")
    if value is None or value == "":
        return None
    if value in ("train", "held_out"):
        return str(value)
    raise BadRow(
        f"“split” is {excerpt(str(value), width=40)!r}, expected “train” or “held_out”.",
        'Write "split": "train", "split": "held_out", or leave it out.',
    )


def conversation_of(record: dict[str, Any]) -> str | None:
    """The key of the conversation that a row names, or None."""
    for key in ("conversation", "conversation_id"):
        value = record.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return text_of(value, f"“{key}”").strip()[:200]
    return None


def make_example(turns: list[Turn], record: dict[str, Any], conversation: str | None = None) -> Example:
    """Tidies turns into an example, or raises BadRow.

    System texts at the start are joined; turns of the same role in a row are joined (equal ones kept
    once), because several chat templates refuse them; what comes before the first question and after the
    last answer is left off. Each of these is told in `warnings`, the first WARNINGS_KEPT of them.
    """
    warnings: list[BadRow] = []
    system: list[str] = []
    messages: list[Message] = []
    said: list[list[str]] = []  # the texts of each message, joined in the end
    for number, (role, content, weight) in enumerate(turns, 1):
        text = text_of(content, f"the text of message {number}")
        if role == "system":
            if messages:
                raise BadRow(
                    f"Message {number} gives instructions (role “system”) in the middle of the conversation.",
                    "Put the system message first, or leave it out.",
                )
            if text.strip():
                system.append(text)
            continue
        if not text.strip():
            who = "answer" if role == "assistant" else "question"
            raise BadRow(f"Message {number}, the {who}, is empty.", "Fill it in, or leave out this example.")
        if messages and messages[-1]["role"] == role:
            warning = _join(said[-1], text, role, number)
            if len(warnings) < WARNINGS_KEPT:
                warnings.append(warning)
        else:
            said.append([text])
            messages.append(
                {"role": role, "content": text} if weight else {"role": role, "content": text, "weight": 0}
            )
    for message, texts in zip(messages, said, strict=True):
        message["content"] = "\n\n".join(texts)

    if messages and messages[0]["role"] == "assistant" and len(messages) > 1:
        del messages[0]
        warnings.append(
            BadRow(
                "It begins with an answer; that turn was left off, as nothing was asked.",
                "Begin with the person's turn.",
                code="role_order",
            )
        )
    if messages and messages[-1]["role"] == "user" and len(messages) > 1:
        del messages[-1]
        warnings.append(
            BadRow(
                "It ends with a question; that turn was left off, as nothing answers it.",
                "End with the assistant's turn.",
                code="role_order",
            )
        )
    _refuse_incomplete(messages)
    if system:
        messages.insert(0, {"role": "system", "content": "\n\n".join(system)})
    return Example(
        {"messages": messages},
        CHAT,
        conversation or conversation_of(record),
        split_of(record),
        tuple(warnings[:WARNINGS_KEPT]),
    )


def _join(texts: list[str], text: str, role: str, number: int) -> BadRow:
    """Adds `text` to the texts of one message, unless it repeats the last of them; the warning about it."""
    who = "questions" if role == "user" else "answers"
    mend = "Let person and assistant take turns."
    if texts[-1].strip() == text.strip():
        texts[-1] = min(texts[-1], text, key=len)  # so that white space at its ends is looked at once
        problem = f"Message {number} says the same as the one before it and was left out."
        return BadRow(problem, mend, code="repeated_turn")
    texts.append(text)
    problem = f"Two {who} in a row (message {number} is the second) were joined into one."
    return BadRow(problem, mend, code="role_order")


def _refuse_incomplete(messages: list[Message]) -> None:
    roles = {message["role"] for message in messages}
    if "assistant" not in roles:
        raise BadRow(
            "There is no answer to learn from (no turn of the assistant).",
            "Add the answer you would want, or leave out this example.",
        )
    if "user" not in roles:
        raise BadRow(
            "There is an answer but no question (no turn of the person).", "Add what the person says."
        )
    if all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        raise BadRow(
            "Every answer has weight 0, so nothing is learned.", "Give the answer to learn weight 1."
        )
