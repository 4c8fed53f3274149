"""A chat template, compiled with the same extras that transformers gives it.

The behaviour to match is `transformers.utils.chat_template_utils`: a sandbox that cannot change what it
is given, trimmed blocks, loop controls, `raise_exception`, `strftime_now`, a `tojson` that does not escape
HTML, and the `{% generation %}` tag around what the assistant writes.
"""

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rendering.errors import RenderError

# Private-use characters stand around generated text while it is rendered, and are taken out again.
OPEN, CLOSE = "\ue0f0\ue0f1", "\ue0f1\ue0f0"
MARKS = "generation_marks"


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: text that the assistant writes.

    Nothing is kept on the environment, so that threads may share a compiled template.
    """

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, context: Context, caller) -> str:
        text = caller()
        return f"{OPEN}{text}{CLOSE}" if context.get(MARKS) else text


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


class ChatTemplate:
    """One compiled template. `has_generation` tells whether it marks what the assistant writes."""

    def __init__(self, source: str):
        environment = _environment()
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise RenderError(
                f"The chat template cannot be read (line {error.lineno}): {error.message}"
            ) from error
        # A template that says "generation" in a comment has no such tag, so the tree is asked, not the text.
        self.has_generation = any(
            isinstance(call.call, nodes.Call)
            and isinstance(call.call.node, nodes.ExtensionAttribute)
            and call.call.node.name == "_mark"
            for call in tree.find_all(nodes.CallBlock)
        )

    def render(self, messages: list[dict], **variables: Any) -> str:
        """The text of `messages`; raises RenderError with the template's own words when it refuses."""
        variables = {"tools": None, "documents": None, **variables}
        try:
            return self._template.render(messages=messages, **variables)
        except TemplateError as error:
            raise RenderError(
                f"The model's chat template refuses this conversation: {error.message}"
            ) from error
        # A template is code from outside: anything it trips over is its answer, not our crash.
        except Exception as error:
            raise RenderError(
                f"The model's chat template fails on this conversation: {type(error).__name__}: {error}"
            ) from error

    def render_marked(self, messages: list[dict], **variables: Any) -> tuple[str, list[tuple[int, int]]]:
        """The text, and the character ranges that `{% generation %}` stood around, in order."""
        pieces, ranges, at, start = [], [], 0, None
        rest = self.render(messages, **{MARKS: True}, **variables)
        while rest:
            mark = CLOSE if start is not None else OPEN
            before, found, rest = rest.partition(mark)
            pieces.append(before)
            at += len(before)
            if not found:
                break
            if start is None:
                start = at
            else:
                ranges.append((start, at))
                start = None
        return "".join(pieces), ranges


@lru_cache(maxsize=64)
def compile_template(source: str) -> ChatTemplate:
    return ChatTemplate(source)
