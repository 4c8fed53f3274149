"""What every format shares: the shape of an example, and the words for what is wrong with a row."""

from dataclasses import dataclass
from typing import Any, NamedTuple

# {"role": "system|user|assistant|tool", "content": "…"}; `weight` 0 marks an answer that is context, not learned.
Message = dict[str, Any]


# What is told about one example; a list without end of the same two words helps nobody.
WARNINGS_KEPT = 10


class Turn(NamedTuple):
    """One message as a format finds it: our word for the role, and content that nobody has checked yet.

    `tool_calls` are those of an answer, in OpenAI's shape; `tool_call_id` names the call that a tool's turn answers.
    """

    role: str
    content: Any
    weight: int = 1
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str = ""
    name: str = ""


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
        code = "null_content" if value is None else "wrong_type"
        mend = f'Write {where} as text in quotes: "…".'
        raise BadRow(f"{begun(where)} is {kind_of(value)}, expected text.", mend, code=code)
    if not value.isascii():
        _refuse_broken_characters(value, where)
    return value


# Kinds of content parts: those that hold text, by the name under which, and those that hold pictures or sound.
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGE_PARTS = ("image", "audio", "video", "file")
# Names beside the turns under which other tools keep the pictures and the sound of a row.
IMAGE_LISTS = ("images", "image", "videos", "audios")


def _text_of_parts(parts: list[Any], where: str) -> str:
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(TEXT_PARTS[kind]) if isinstance(kind, str) and kind in TEXT_PARTS else None
        if not isinstance(text, str):
            raise _bad_part(part, kind, where)
        texts.append(text)
    return "".join(texts)


def _bad_part(part: Any, kind: Any, where: str) -> "BadRow":
    shown = excerpt(str(kind), width=40) if isinstance(part, dict) and kind else kind_of(part)
    if isinstance(kind, str) and any(word in kind for word in IMAGE_PARTS):
        return BadRow(
            f"{begun(where)} holds a picture, sound or file (a part of kind {shown!r}); only text is learned from.",
            "Leave out this example, or describe in words what it shows.",
            code="image_content",
        )
    return BadRow(
        f"{begun(where)} holds a part of kind {shown!r}, expected text only.",
        'Write each part as {"type": "text", "text": "…"}, or the whole content as one text.',
        code="content_part",
    )


def refuse_images(record: dict[str, Any]) -> None:
    """Raises BadRow when pictures or sound stand beside the turns of a row."""
    for name in IMAGE_LISTS:
        if record.get(name):
            raise BadRow(
                f"“{name}” holds pictures or sound; only text is learned from.",
                "Leave out this example, or describe in words what it shows.",
                code="image_content",
            )


def field(record: dict[str, Any], name: str, shape: str) -> Any:
    """What the record holds under `name`; raises BadRow when there is nothing of that name."""
    if name not in record:
        names = ", ".join(f"“{excerpt(str(key), width=30)}”" for key in list(record)[:5]) or "nothing"
        raise BadRow(f"“{name}” is not there; found {names}.", f"Write it as {shape}.", code="missing_field")
    return record[name]


def full_text(value: Any, name: str, what: str) -> str:
    """`value` as text without white space around it; raises BadRow when nothing is left. `what`: question, answer."""
    text = text_of(value, f"“{name}”").strip()
    if not text:
        raise BadRow(
            f"“{name}” is empty: there is no {what}.",
            "Fill it in, or leave out this example.",
            code="empty_text",
        )
    return text


def _refuse_broken_characters(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        # Bytes that were not UTF-8 were read as U+DC80…U+DCFF; other surrogates were written as escapes.
        if 0xDC80 <= ord(text[error.start]) <= 0xDCFF:
            byte = ord(text[error.start]) - 0xDC00
            raise BadRow(
                f"{begun(where)} holds the byte 0x{byte:02X}, which is not UTF-8 text.",
                "Save the file again with the encoding UTF-8 (many programs call it “Unicode (UTF-8)”).",
                excerpt(text, error.start),
                "bad_encoding",
            ) from None
        raise BadRow(
            f"{begun(where)} holds half of a character (a lone \\u{ord(text[error.start]):04x}).",
            "Write the character out whole, or leave it out.",
            excerpt(text, error.start),
            "lone_surrogate",
        ) from None


def begun(words: str) -> str:
    """Words as they begin a sentence."""
    return words[:1].upper() + words[1:]


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
        code="bad_split",
    )


def conversation_of(record: dict[str, Any]) -> str | None:
    """The key of the conversation that a row names, or None."""
    for key in ("conversation", "conversation_id"):
        value = record.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return text_of(value, f"“{key}”").strip()[:200]
    return None
