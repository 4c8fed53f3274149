"""Answers as HTML: CommonMark and tables, read by markdown-it-py (docs/decisions/0150).

Whoever wrote the text is not trusted. Markup in it is shown as it was typed; links lead to the web or to an e-mail
address and nowhere else, least of all into this site; no picture is loaded. What comes out is made of tags that are
written here and in the library, with escaped text between them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

# What is longer is shown as it was written: nobody reads it for its headings.
LONGEST = 40_000  # characters
KEPT = 512  # answers whose HTML is kept in this process
DEEPEST = 6  # the page's own headings end where those of an answer begin
ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)
# An address in plain words; marks behind it belong to the sentence.
BARE = re.compile(r"https?://[^\s<>\"'`\[\]{}|\\^]+", re.IGNORECASE)
BEHIND = ".,;:!?)*_~"
REFERENCE = re.compile(r"\[(\d{1,2})\]")
LINK = {"rel": "noopener nofollow noreferrer ugc", "target": "_blank"}


def to_html(text: str, *, numbers: tuple[int, ...] = (), anchor: str = "") -> SafeString:
    """`text` as HTML; `[2]` is a link to the element `passage-ANCHOR-2` where 2 is one of `numbers`."""
    if len(text) > LONGEST:
        return format_html('<p class="pre">{}</p>', text)
    return _to_html(text, numbers, anchor, get_language() or "")


@lru_cache(maxsize=KEPT)
def _to_html(text: str, numbers: tuple[int, ...], anchor: str, language: str) -> SafeString:
    return mark_safe(READER.render(text, {"numbers": frozenset(numbers), "anchor": anchor}))  # noqa: S308 - see above


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=Written)
    reader.enable(["table", "strikethrough"])
    # `[1]: https://…` in an answer would make a link of every `[1]`, which names a passage.
    reader.disable("reference")
    reader.validateLink = lambda url: bool(ADDRESS.fullmatch(url))  # type: ignore[method-assign]
    reader.inline.ruler.before("link", "passage", _passage)
    reader.core.ruler.push("addresses", _addresses)
    return reader


def _passage(state: StateInline, silent: bool) -> bool:
    """`[2]`, where there is a passage of that number."""
    found = REFERENCE.match(state.src, state.pos, state.posMax)
    if found is None or int(found[1]) not in state.env["numbers"]:
        return False
    if not silent:
        token = state.push("passage", "a", 0)
        token.content = str(int(found[1]))
    state.pos = found.end()
    return True


def _addresses(state: StateCore) -> None:
    """Addresses that stand in plain words become links, but in a link already."""
    for block in state.tokens:
        if block.type == "inline" and block.children and "://" in block.content:
            depth, children = 0, []
            for token in block.children:
                depth += token.nesting if token.type in ("link_open", "link_close") else 0
                is_plain = token.type == "text" and not depth and "://" in token.content
                children += _linked(token) if is_plain else [token]
            block.children = children


def _linked(token: Token) -> list[Token]:
    made, at = [], 0
    for found in BARE.finditer(token.content):
        address = found[0].rstrip(BEHIND)
        opened = Token("link_open", "a", 1, attrs={"href": address})
        made += [
            _text(token.content[at : found.start()]),
            opened,
            _text(address),
            Token("link_close", "a", -1),
        ]
        at = found.start() + len(address)
    return [*made, _text(token.content[at:])]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


class Written(RendererHTML):
    """The tags of an answer, where they are not the library's own."""

    def heading_open(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        return f"<h{_level(tokens[index])}>"

    def heading_close(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        return f"</h{_level(tokens[index])}>\n"

    def link_open(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        for name, value in LINK.items():
            tokens[index].attrSet(name, value)
        return self.renderToken(tokens, index, options, env)

    def passage(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        number = tokens[index].content
        return format_html('<a class="cite" href="#passage-{}-{}">[{}]</a>', env["anchor"], number, number)

    def image(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        """Its words alone: loading a picture tells its server who reads this."""
        words = tokens[index].content or _("picture")
        return format_html('<span class="muted">[{}]</span>', words)

    def table_open(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        return "</table></div>\n"

    def fence(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        said = tokens[index].info.split()
        return _code(tokens[index].content, said[0][:30] if said else "")

    def code_block(self, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        return _code(tokens[index].content)


def _level(token: Token) -> int:
    return min(DEEPEST, int(token.tag[1]) + 2)


def _code(text: str, language: str = "") -> str:
    button = format_html(
        '<button class="button button-quiet button-small copy" type="button" data-copies data-copied="{}">{}</button>',
        _("Copied"), _("Copy"),
    )  # fmt: skip
    name = format_html('<span class="term">{}</span>', language) if language else ""
    return f'<div class="code">{name}{button}<pre tabindex="0"><code>{escape(text)}</code></pre></div>\n'


READER = _reader()
