"""Whether a template has left out something that stands in the example: then the model would never see it."""

import json

from rendering.errors import RenderError

# Long texts are known by their longest line; templates trim, indent and join what is around it.
LONGEST = 200


def refuse_missing(text: str, messages: list[dict], tools: list[dict] | None) -> None:
    """Raises RenderError for a message, a call or a tool of which there is nothing in `text`."""
    spoken = [_said(message.get("content") or "") for message in messages]
    at = 0
    for number, message in enumerate(messages, start=1):
        piece = _piece_of(message.get("content") or "")
        found = _find(text, piece, at)
        if found < 0:
            raise RenderError(
                f"The model's chat template leaves out message {number} (role {message['role']}): “{piece[:60]}” is "
                "nowhere in what the model would read."
            )
        at = found
        for call in message.get("tool_calls") or []:
            name = call["function"]["name"]
            if not _is_shown(name, text, spoken):
                raise RenderError(
                    f"The model's chat template leaves out the tool call in message {number} (of {name})."
                )
    for tool in tools or []:
        name = str(tool.get("function", tool).get("name", ""))
        if not _is_shown(name, text, spoken):
            raise RenderError(
                f"The model's chat template does not tell the model its tools ({name} is nowhere in what it would "
                "read)."
            )


def _is_shown(name: str, text: str, spoken: list[str]) -> bool:
    """Whether the name of a tool stands in the text more often than people say it."""
    return text.count(name) > sum(content.count(name) for content in spoken)


def _said(content: str) -> str:
    """Thoughts before an answer are left out by several templates on purpose."""
    return content.rpartition("</think>")[2] or content


def _piece_of(content: str) -> str:
    """A line by which to know the content."""
    line = max((line.strip() for line in _said(content).split("\n")), key=len)
    return line[:LONGEST].strip()


def _find(text: str, piece: str, at: int) -> int:
    """Where `piece` stands, as it is or as JSON has it; from `at` on, as messages come in order, or before."""
    for form in (piece, json.dumps(piece, ensure_ascii=False)[1:-1], json.dumps(piece)[1:-1]):
        found = text.find(form, at)
        if found < 0 and at:
            found = text.find(form)
        if found >= 0:
            return found
    return -1
